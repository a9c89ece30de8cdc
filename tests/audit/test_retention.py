"""Old entries go from the oldest end only, and what is left still proves itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from campaigns.audit.check_services import check_log, remove_old_entries
from campaigns.audit.checking import Link, Problem
from campaigns.audit.models import AuditEntry
from campaigns.audit.sealing import read_head
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.ops.clean_up import clean_up
from tests.audit.entries import add_entries, attack

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]
LONG_AGO = timedelta(days=1096)


@pytest.fixture
def aged() -> Link:
    """Four entries past their retention, three that are not; returns the end of the old ones."""
    with freeze(utcnow() - LONG_AGO):
        add_entries(4)
        end = Link(read_head().sequence, read_head().hash)
    add_entries(3)
    return end


def test_only_what_is_past_its_retention_goes_and_the_rest_is_proved(aged: Link):
    assert clean_up()["audit_entry"] == 4
    verdict = check_log()
    assert (verdict.problem, verdict.entries, verdict.anchor) == (None, 4, aged)
    assert db.session.scalars(select(AuditEntry.sequence).order_by(AuditEntry.sequence)).all() == [5, 6, 7, 8]
    told = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "audit.removed")).one()
    assert told.after == {"sequence": 4, "hash": aged.hash, "entries": 4}


def test_removing_again_is_harmless_and_retention_goes_on(aged: Link):
    remove_old_entries()
    assert remove_old_entries() == 0
    with freeze(utcnow() + LONG_AGO):
        assert remove_old_entries() == 4
        assert check_log().problem is None


def test_an_end_halfway_is_made_good_by_the_next(aged: Link, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("campaigns.audit.check_services._delete_before_anchor", lambda: 0)
    remove_old_entries()
    assert check_log().problem is None
    monkeypatch.undo()
    assert remove_old_entries() == 4
    assert check_log().problem is None


def test_what_stands_behind_the_anchor_stays_guarded(aged: Link):
    remove_old_entries()
    for statement in ("DELETE FROM audit_entry WHERE sequence = 5", "UPDATE audit_head SET anchor_sequence = 3"):
        with pytest.raises(DatabaseError):
            db.session.execute(text(statement))
        db.session.rollback()


def test_old_entries_removed_by_somebody_else_are_found(aged: Link):
    fifth = db.session.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == 5))
    attack(
        f"UPDATE audit_head SET anchor_sequence = 5, anchor_hash = '{fifth}'",
        "DELETE FROM audit_entry WHERE sequence <= 5",
    )
    verdict = check_log()
    assert (verdict.problem, verdict.sequence) == (Problem.ANCHOR, 5)


def test_an_entry_after_the_anchor_that_is_changed_is_found(aged: Link):
    remove_old_entries()
    attack("UPDATE audit_entry SET reason = 'x' WHERE sequence = 5")
    assert check_log().sequence == 5


def test_a_head_kept_elsewhere_may_have_grown_too_old(aged: Link):
    remove_old_entries()
    assert check_log(aged).problem is None
    assert check_log(Link(2, "0" * 64)).problem is Problem.FORGOTTEN
    assert check_log(Link(4, "0" * 64)).problem is Problem.EXPECTED
