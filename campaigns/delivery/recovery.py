"""Replaying the journals of dead workers of this machine: what they knew goes into the ledger, exactly."""

from __future__ import annotations

import logging
from pathlib import Path

from campaigns.delivery import ledger
from campaigns.delivery.claims import Settlement
from campaigns.delivery.journal import DeadJournal, dead_journals
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.rate_limit import shared_limiter
from campaigns.delivery.rates import Rates, current_rates

logger = logging.getLogger(__name__)


def replay_dead_journals(folder: Path) -> int:
    """Settle what the dead had in hand, and end their leases; returns how many journals were replayed. Commits.

    Answered: written down as answered. Handed over without an answer: uncertain, at most one for each connection. Not
    handed over: waits again, if the journal is of this boot, and its turn of the day's limit goes back. Harmless to
    repeat, and for two at once.
    """
    replayed = 0
    for journal in dead_journals(folder):
        _replay(journal)
        replayed += 1
    return replayed


def _replay(journal: DeadJournal) -> None:
    unanswered = journal.handed_over - journal.answered.keys()
    uncertain = [Settlement(position, DeliveryState.UNCERTAIN, "worker_lost") for position in sorted(unanswered)]
    changed = ledger.settle(journal.lease, list(journal.answered.values()))
    if journal.is_complete:
        ledger.settle(journal.lease, uncertain)
        returned = ledger.settle_rest(journal.lease, keep=unanswered, state=DeliveryState.WAITING, reason=None)
        _give_turns_back(min(returned, journal.turns))
    else:
        ledger.settle_rest(journal.lease, keep=set(), state=DeliveryState.UNCERTAIN, reason="worker_lost")
    logger.warning(
        "a worker died while sending batch %s of campaign %s: %s answers saved, %s uncertain",
        journal.lease.number, journal.lease.campaign_id, changed, len(unanswered),
    )  # fmt: skip


def _give_turns_back(mails: int) -> None:
    """Take off the day's count those to whom nothing went. They are told once: a repeat finds nobody to return."""
    shared_limiter().give_back(Rates(per_day=current_rates().per_day), mails)
