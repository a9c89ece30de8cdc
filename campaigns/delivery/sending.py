"""Sending one batch: lease it, claim a window of rows, send them over a kept connection, settle, and so on.

A batch that is run again, by any worker, any number of times, sends to nobody twice: what it may send is what it can
claim. It returns a summary and never raises for a mail's sake.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from campaigns.clock import steady_seconds, utcnow
from campaigns.config import Settings, current_settings
from campaigns.delivery import ledger
from campaigns.delivery.brake import brake_if_needed
from campaigns.delivery.building import build_ahead, settlement_of_unbuildable
from campaigns.delivery.claims import BatchSummary, Lease, Recipient, Settlement
from campaigns.delivery.connections import ConnectionPool
from campaigns.delivery.failover import ServersTried
from campaigns.delivery.holding import hold_for_limit, hold_for_refusal
from campaigns.delivery.journal import Journal
from campaigns.delivery.leases import KeptLease, lease_time, worker_name
from campaigns.delivery.ledger import LeaseLost
from campaigns.delivery.message import CampaignMessage, campaign_to_send, message_of
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.settlements import concerns_connection, concerns_sender, settlement_of
from campaigns.delivery.states import clear_trouble
from campaigns.delivery.tally import Tally
from campaigns.delivery.throttles import asks_to_slow_down
from campaigns.delivery.turns import Turns
from campaigns.delivery.watched import Watched
from campaigns.mail.smtp import ConnectionNotOpened, Envelope, Outcome, OutcomeKind, send_over
from campaigns.patience import while_database_returns
from campaigns.stored_settings import refresh_settings

WINDOW_ROWS = 500
# Enough for a thousand over a relay 50 ms away, far below the broker's visibility timeout. The rest waits for a round.
BATCH_BUDGET_SECONDS = 90

Written = TypeVar("Written")
logger = logging.getLogger(__name__)
pool = ConnectionPool()


def send_batch(campaign_id: int, number: int) -> BatchSummary:
    """Send what waits in one batch. Commits window by window; harmless to repeat, at any time, anywhere."""
    settings, summary = current_settings(), BatchSummary(campaign_id, number)
    # What is read comes before the lease, whose commit then ends one transaction instead of several.
    brake_if_needed(campaign_id, settings)
    campaign = campaign_to_send(campaign_id)
    if campaign is None:
        return summary
    begun_at = campaign.reopened_at or campaign.frozen_at or utcnow()
    message, had_trouble = message_of(campaign), campaign.trouble is not None
    asked_at = steady_seconds()
    lease = ledger.take_lease(campaign_id, number, worker=worker_name(), lease_for=lease_time(settings))
    if lease is None:
        return summary
    summary.ended = "done"
    kept_lease = KeptLease(lease, lease_time(settings), asked_at=asked_at)
    with kept_lease as kept, Journal(settings.journal_dir, lease) as journal:
        _Run(kept, journal, message, begun_at, settings, summary, had_trouble).send()
    return summary


@dataclass
class _Run:
    """One run over one batch. `claimed` are rows that are `sending` under our token and have no outcome yet."""

    kept: KeptLease
    journal: Journal
    message: CampaignMessage
    begun_at: datetime  # temporary refusals are tried again for so many hours from here
    settings: Settings
    summary: BatchSummary
    had_trouble: bool
    claimed: dict[int, Recipient] = field(default_factory=dict)
    handed_over: set[int] = field(default_factory=set)
    has_last: bool = False  # whether the window in hand reaches the batch's end, so that nobody waits behind it
    settlements: list[Settlement] = field(default_factory=list)
    last_outcome: Outcome | None = None
    refused_sender: Outcome | None = None  # what the server in use said when it refused the sender
    refusal: Outcome | ConnectionNotOpened | None = None  # what the last said when all refuse
    deadline: float = field(default_factory=lambda: time.monotonic() + BATCH_BUDGET_SECONDS)

    def __post_init__(self) -> None:
        self.tried = ServersTried(self.settings)
        self.turns = Turns()
        self.tally = Tally()
        self._set_end_of_tries()

    @property
    def lease(self) -> Lease:
        return self.kept.lease

    def _set_end_of_tries(self) -> None:
        self.give_up_at = self.begun_at + timedelta(hours=self.settings.give_up_hours)

    def send(self) -> None:
        """Send until nobody waits, the budget is used, we are stopped, a limit is reached, or all servers refuse us."""
        try:
            self._send_over_connections()
        except LeaseLost:
            self.summary.ended = "lease_lost"
        except ConnectionNotOpened as refusal:
            self.refusal = self.tried.refused_sender or refusal
        self._return_unsent()
        error = self._hold_round()
        self._write_down(lambda: ledger.settle_and_release(self.lease, self.settlements, error=error))
        if self.tried.taken:
            logger.info(
                "batch %s of campaign %s: %s", self.lease.number, self.lease.campaign_id, dict(self.tried.taken)
            )

    def _hold_round(self) -> str | None:
        """Settle and hold the campaign's next round if it has to be; returns the words of a server that refuses us."""
        if self.refusal is not None or self.turns.hold is not None:
            self._settle()  # which forgets the trouble before this if the server took somebody's mail
        if self.refusal is not None:
            self.summary.ended = "trouble"
            return hold_for_refusal(self.lease.campaign_id, self.refusal)
        if self.turns.hold is not None:
            self.summary.ended = "limit"
            hold_for_limit(self.lease.campaign_id, self.turns.hold)
        return None

    def _send_over_connections(self) -> None:
        """Go on over a new connection when one is lost, and over another server when one refuses us."""
        envelopes = self._envelopes()
        while True:
            with pool.bundle(self.settings, without=self.tried.refusing) as self.bundle:
                if self._send_over_bundle(envelopes):
                    return
            refused_sender, self.refused_sender = self.refused_sender, None
            if not self.tried.is_gone and not self.tried.is_one_left(refused_sender):
                break
        self.refusal = self.tried.refused_sender or self.last_outcome

    def _send_over_bundle(self, envelopes: Iterator[Envelope | None]) -> bool:
        """Send over all connections of the bundle; tells whether the envelopes came to their end."""
        self.tried.begin(self.bundle.server)
        self._widen_bundle()
        watched, most = Watched(envelopes), self.settings.mail_max_emails
        sending = send_over(self.bundle.connections, watched, self._note_hand_over, self._must_leave, most_each=most)
        with closing(sending):  # before others get the connections, in the middle of what an error broke off
            for envelope, outcome in sending:
                self._note_outcome(envelope, outcome)
        return watched.exhausted or self._must_stop()

    def _widen_bundle(self) -> None:
        """Send all that is claimed side by side, unless this may be a probe of a server that refuses us."""
        if not self.had_trouble and not self.tried.is_probing:
            self.bundle.widen(len(self.claimed))

    def _must_leave(self) -> bool:
        return self.refused_sender is not None or self.tried.is_gone or self._must_stop()

    def _follow_settings(self) -> None:
        """Take over what was changed in the browser; a server that is no more is left before the next window."""
        refresh_settings()
        if current_settings() is not self.settings:
            self.settings = current_settings()
            self.tried.follow(self.settings)
            self._set_end_of_tries()

    def _envelopes(self) -> Iterator[Envelope | None]:
        """Give claimed rows as envelopes; before each new window what is open is finished (None) and settled."""
        while not self._must_stop():
            self._follow_settings()
            yield None
            window = self._next_window()
            if window is None or self._must_stop():
                return
            yield from self._window_envelopes(window)

    def _next_window(self) -> list[Recipient] | None:
        """Wait for our turn and claim those who get their mail now; None when nobody waits or the run should end."""
        if self.has_last and not self._anybody_waits_again():
            return None
        allowed = self.turns.wait(WINDOW_ROWS, must_stop=self._must_stop, before_waiting=self._settle)
        claimed: list[Recipient] = []
        try:
            claimed = self._settle_and_claim(allowed) if allowed else claimed
        finally:
            self.turns.give_back_unclaimed(allowed - len(claimed))
        self.has_last = bool(claimed) and claimed[-1].position == self.lease.last_position
        self.tally.begin_window(claimed)
        window, put_off = self.turns.part(claimed)
        self.journal.note_turns(self.turns.counted_for_day(len(claimed)))
        self.settlements += put_off
        self.claimed = {recipient.position: recipient for recipient in window}
        self.handed_over.clear()
        self._widen_bundle()
        return window if claimed else None

    def _window_envelopes(self, window: list[Recipient]) -> Iterator[Envelope]:
        for recipient, built in build_ahead(self.message, window):
            if put_off := self.turns.put_off_if_slowed(recipient):
                self._settle_here(put_off)
            elif isinstance(built, bytes):
                envelope_id = f"c{self.lease.campaign_id}-{recipient.position}"
                yield Envelope(self.message.sender, recipient.address, built, recipient.position, True, envelope_id)
            else:
                self._settle_here(settlement_of_unbuildable(recipient, built))

    def _must_stop(self) -> bool:
        if self.kept.stop_reason is not None:
            self.summary.ended = self.kept.stop_reason
        elif time.monotonic() > self.deadline:
            self.summary.ended = "budget"
        else:
            return False
        return True

    def _note_hand_over(self, leaving: Sequence[Envelope]) -> None:
        self.kept.refuse_when_over()
        positions = [envelope.ref for envelope in leaving]
        self.journal.hand_over(*positions)
        self.handed_over.update(positions)

    def _note_outcome(self, envelope: Envelope, outcome: Outcome) -> None:
        recipient = self.claimed.pop(envelope.ref)
        settlement = settlement_of(
            outcome, position=recipient.position, attempts=recipient.attempts, give_up_at=self.give_up_at,
            server=self.tried.current, label=self.tried.label,
        )  # fmt: skip
        self.journal.answer(settlement)
        self.settlements.append(settlement)
        self.last_outcome = outcome
        self.tally.note_answer(self.tried.current, outcome)
        if outcome.kind is OutcomeKind.SENT:
            self.tried.note_taken()
            return
        # A domain that goes on asking says nothing of the server, even if it hangs up each time.
        asks_again = asks_to_slow_down(outcome) and self.turns.slow_down(recipient)
        if concerns_sender(outcome):
            self.refused_sender = outcome
        elif asks_again or not concerns_connection(outcome):
            self.tried.note_taken()

    def _settle_here(self, settlement: Settlement) -> None:
        """Decide on a claimed row without asking a server; nothing of it has left."""
        del self.claimed[settlement.position]
        self.settlements.append(settlement)

    def _return_unsent(self) -> None:
        """Decide on rows without an outcome: what was not handed over waits again, what was is uncertain."""
        for position in self.claimed:
            if position in self.handed_over:
                self.settlements.append(Settlement(position, DeliveryState.UNCERTAIN, "connection_lost"))
            else:
                self.settlements.append(Settlement(position, DeliveryState.WAITING, counts_as_attempt=False))
        self.claimed = {}

    def _anybody_waits_again(self) -> bool:
        return any(settlement.state is DeliveryState.WAITING for settlement in self.settlements)

    def _settle(self) -> None:
        if self.settlements:
            self._settle_and_claim(0)

    def _settle_and_claim(self, size: int) -> list[Recipient]:
        lease_for = lease_time(self.settings)
        return self._write_down(
            lambda: ledger.settle_and_claim(self.lease, self.settlements, size=size, lease_for=lease_for)
        )

    def _write_down(self, write: Callable[[], Written]) -> Written:
        """Settle what is known by `write`, one transaction; the journal is emptied once the database has it all.

        While the database is away, what is known is kept and written when it is back; should that take too long, the
        journal keeps it for whoever replays it.
        """
        try:
            written = while_database_returns(write)
        except LeaseLost:
            self._forget_settled()
            raise
        self._forget_settled()
        return written

    def _forget_settled(self) -> None:
        states = {settlement.state for settlement in self.settlements}
        self.summary.settled += len(self.settlements)
        self.tally.count(self.settlements)
        self.turns.give_back_unused(self.settlements)
        self.settlements = []
        self.journal.forget()
        if DeliveryState.SENT in states and self.had_trouble:
            self.had_trouble = not clear_trouble(self.lease.campaign_id)
        if DeliveryState.FAILED in states and brake_if_needed(self.lease.campaign_id, self.settings):
            self.kept.stop_reason = "halted"
