"""The journal of a killed worker is read exactly: answers count, what was not handed over waits again."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.delivery import journal as journals
from campaigns.delivery import ledger, states
from campaigns.delivery.claims import Lease, Settlement
from campaigns.delivery.journal import Journal, dead_journals
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze
from tests.people import make_users

pytestmark = pytest.mark.both_databases
LEASE_FOR = timedelta(seconds=30)


def claim_four(campaign_id: int) -> Lease:
    lease = ledger.take_lease(campaign_id, 1, worker="dead", lease_for=LEASE_FOR)
    assert len(ledger.settle_and_claim(lease, (), size=4, lease_for=LEASE_FOR)) == 4
    return lease


def die_in_mid_window(lease: Lease) -> None:
    """Leave the journal of a process that was killed: 1 answered, 2 handed over, 3 and 4 not yet."""
    journal = Journal(current_settings().journal_dir, lease)
    journal.__enter__()
    journal.hand_over(1)
    journal.answer(Settlement(1, DeliveryState.SENT, reply="250 2.0.0 queued as\nA1"))
    journal.hand_over(2)
    os.close(journal._file)


def states_of(campaign_id: int) -> dict[int, str]:
    db.session.expire_all()
    rows = db.session.execute(select(Delivery.position, Delivery.state).where(Delivery.campaign_id == campaign_id))
    return {position: state for position, state in rows}  # noqa: C416 - a Row is no pair to dict


def test_only_what_was_open_is_uncertain(app):
    make_users(6)
    campaign_id = launch_and_freeze()
    die_in_mid_window(claim_four(campaign_id))
    assert replay_dead_journals(current_settings().journal_dir) == 1
    assert states_of(campaign_id) == {
        1: "sent", 2: "uncertain", 3: "waiting", 4: "waiting", 5: "waiting", 6: "waiting",
    }  # fmt: skip
    totals = campaign_totals(campaign_id)
    assert totals.balances
    assert totals == ledger_totals(campaign_id)
    assert db.session.get(Delivery, (campaign_id, 1)).reply == "250 2.0.0 queued as A1"
    assert db.session.get(Delivery, (campaign_id, 3)).attempts == 0
    assert list(Path(current_settings().journal_dir).iterdir()) == []
    assert ledger.take_lease(campaign_id, 1, worker="next", lease_for=LEASE_FOR)


def test_a_run_that_ends_in_an_error_leaves_its_last_answer_too(app):
    """A database that stays away for longer than the sender waits: the process lives, and all that it knew counts."""
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = claim_four(campaign_id)
    with pytest.raises(ConnectionError), Journal(current_settings().journal_dir, lease) as journal:
        journal.hand_over(1)
        journal.answer(Settlement(1, DeliveryState.SENT))
        raise ConnectionError
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id) == {1: "sent", 2: "waiting", 3: "waiting", 4: "waiting"}


def test_a_disk_that_is_full_for_a_moment_leaves_no_half_line(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = claim_four(campaign_id)
    with pytest.raises(ConnectionError), Journal(current_settings().journal_dir, lease) as journal:
        journal.hand_over(1)
        journal.answer(Settlement(1, DeliveryState.SENT))
        with file_size_limit(os.fstat(journal._file).st_size + 5), pytest.raises(OSError, match="journal"):
            journal.hand_over(2)
        journal.answer(Settlement(2, DeliveryState.WAITING, counts_as_attempt=False))
        raise ConnectionError
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id) == {1: "sent", 2: "waiting", 3: "waiting", 4: "waiting"}


@contextmanager
def file_size_limit(octets: int) -> Iterator[None]:
    """Let no file grow beyond that: what is too much is not written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_journal_of_an_earlier_boot_proves_only_its_answers(app, monkeypatch):
    make_users(4)
    campaign_id = launch_and_freeze()
    die_in_mid_window(claim_four(campaign_id))
    monkeypatch.setattr(journals, "boot_id", lambda: "another boot")
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id) == {1: "sent", 2: "uncertain", 3: "uncertain", 4: "uncertain"}


def test_a_living_owners_journal_is_left_alone(app):
    make_users(4)
    lease = claim_four(launch_and_freeze())
    with Journal(current_settings().journal_dir, lease) as journal:
        journal.hand_over(1)
        assert list(dead_journals(current_settings().journal_dir)) == []


def test_a_line_cut_off_by_the_kill_is_not_read(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    die_in_mid_window(claim_four(campaign_id))
    (path,) = Path(current_settings().journal_dir).iterdir()
    path.write_bytes(path.read_bytes() + b"A\t2\tsent\t")
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id)[2] == "uncertain"


def test_a_replay_after_the_rows_were_given_up_still_finds_the_truth(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = claim_four(campaign_id)
    die_in_mid_window(lease)
    from campaigns.clock import freeze

    with freeze(utcnow() + timedelta(minutes=5)):
        assert ledger.abandon_expired(campaign_id, 1) == 4
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id) == {1: "sent", 2: "uncertain", 3: "waiting", 4: "waiting"}


def test_in_an_ended_campaign_nobody_waits_again(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    die_in_mid_window(claim_four(campaign_id))
    states.cancel(campaign_id)
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id) == {1: "sent", 2: "uncertain", 3: "uncertain", 4: "uncertain"}
    assert db.session.get(Delivery, (campaign_id, 3)).reason == "not_handed_over"


def test_who_was_called_uncertain_by_the_living_owner_never_waits_again_after_its_death(app):
    """A connection lost after the final dot, then a kill: in the same window, and in the next one of the same run."""
    make_users(6)
    campaign_id = launch_and_freeze()
    lease = claim_four(campaign_id)
    lost = Settlement(1, DeliveryState.UNCERTAIN, "connection_lost")
    sent = [Settlement(position, DeliveryState.SENT) for position in (2, 3, 4)]
    assert len(ledger.settle_and_claim(lease, [lost, *sent], size=4, lease_for=LEASE_FOR)) == 2
    journal = Journal(current_settings().journal_dir, lease)
    journal.__enter__()
    journal.hand_over(5)
    journal.answer(Settlement(5, DeliveryState.UNCERTAIN, "connection_lost"))
    journal.hand_over(6)
    os.close(journal._file)
    replay_dead_journals(current_settings().journal_dir)
    assert states_of(campaign_id) == {
        1: "uncertain", 2: "sent", 3: "sent", 4: "sent", 5: "uncertain", 6: "uncertain",
    }  # fmt: skip


def test_a_journal_that_cannot_be_read_is_set_aside_and_keeps_nobody_from_the_next(app):
    """Whom it was about are uncertain once their lease is over: nothing it says is believed, and nothing lost."""
    make_users(8)
    campaign_id = launch_and_freeze()
    folder = current_settings().journal_dir
    lease = claim_four(campaign_id)
    die_in_mid_window(lease)
    (spoilt,) = folder.glob("*.journal")
    spoilt.with_name("0.journal").write_text(spoilt.read_text() + "A\tfour\tsent\n")
    spoilt.unlink()
    die_in_mid_window(lease)
    assert replay_dead_journals(folder) == 1
    assert [path.name for path in folder.iterdir()] == ["0.unreadable"]
    assert states_of(campaign_id)[1] == "sent"
