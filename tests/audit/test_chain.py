"""Whatever is done to the log behind the application's back, its check finds it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from campaigns.audit.chain import hash_entry
from campaigns.audit.check_services import check_log
from campaigns.audit.checking import Link, Problem
from campaigns.audit.models import AuditEntry
from campaigns.audit.sealing import read_head, seal
from campaigns.audit.services import Target, record_action
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from tests.audit.entries import add_entries, attack

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]


def found() -> tuple[Problem | None, int | None]:
    verdict = check_log()
    return verdict.problem, verdict.sequence


def test_an_untouched_log_is_whole():
    add_entries(7)
    verdict = check_log()
    assert (verdict.problem, verdict.entries, verdict.head.sequence) == (None, 7, 7)
    assert read_head().checked_at is not None


def test_a_log_without_entries_is_whole():
    assert found() == (None, None)


def test_the_hash_is_over_every_field_and_the_entry_before():
    add_entries(2)
    first, second = db.session.scalars(select(AuditEntry).order_by(AuditEntry.sequence))
    assert (first.previous_hash, second.previous_hash) == ("", first.hash)
    fields = {
        "action": "campaign.paused", "actor": "command line", "actor_id": None, "after": {"n": 2, "reason": "가나다"},
        "at": second.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00"), "before": {}, "id": second.id, "ip": "",
        "previous_hash": first.hash, "reason": "", "sequence": 2, "target": "소식 2", "target_id": "2",
        "target_kind": "campaign",
    }  # fmt: skip
    canonical = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    assert second.hash == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        "at = '2020-01-01 00:00:00.000000'", "actor_id = 5", "actor = 'eve@example.com'", "ip = '203.0.113.9'",
        "action = 'campaign.resumed'", "target_kind = 'user'", "target_id = '9'", "target = 'Nothing'",
        """before = '{"n": 1}'""", """after = '{"n": 30}'""", "reason = 'because'", "previous_hash = 'x'", "hash = 'x'",
    ],
)  # fmt: skip
def test_a_changed_field_is_found(change: str):
    add_entries(5)
    attack(f"UPDATE audit_entry SET {change} WHERE sequence = 3")
    assert found() == (Problem.CHANGED, 3)


def test_an_entry_that_was_changed_and_hashed_anew_is_found_by_the_next():
    add_entries(5)
    third = db.session.execute(select(AuditEntry.__table__).where(AuditEntry.sequence == 3)).mappings().one()
    forged = hash_entry({**third, "actor": "eve@example.com"}, sequence=3, previous_hash=third["previous_hash"])
    attack(f"UPDATE audit_entry SET actor = 'eve@example.com', hash = '{forged}' WHERE sequence = 3")
    assert found() == (Problem.CHANGED, 4)


def test_a_deleted_entry_is_found():
    add_entries(5)
    attack("DELETE FROM audit_entry WHERE sequence = 2")
    assert found() == (Problem.MISSING, 2)


def test_the_oldest_entry_deleted_is_found():
    add_entries(5)
    attack("DELETE FROM audit_entry WHERE sequence = 1")
    assert found() == (Problem.MISSING, 1)


def test_a_tail_that_was_cut_off_is_found_by_the_head():
    add_entries(5)
    attack("DELETE FROM audit_entry WHERE sequence > 3")
    assert found() == (Problem.MISSING, 4)


def test_entries_that_changed_places_are_found():
    add_entries(5)
    attack(
        "UPDATE audit_entry SET sequence = 99 WHERE sequence = 2",
        "UPDATE audit_entry SET sequence = 2 WHERE sequence = 3",
        "UPDATE audit_entry SET sequence = 3 WHERE sequence = 99",
    )
    assert found() == (Problem.CHANGED, 2)


def test_an_entry_put_in_with_a_number_is_found():
    add_entries(3)
    copied = "actor, ip, action, target_kind, target_id, target, before, after, reason, previous_hash"
    attack(
        f"INSERT INTO audit_entry (id, at, {copied}, sequence, hash) "
        f"SELECT 50, at, {copied}, 4, 'x' FROM audit_entry WHERE sequence = 3"
    )
    assert found() == (Problem.INSERTED, 4)


def test_a_head_that_was_changed_or_lost_is_found():
    add_entries(3)
    attack("UPDATE audit_head SET hash = 'x'")
    assert found() == (Problem.HEAD, 3)
    attack("DELETE FROM audit_head")
    assert found() == (Problem.HEAD, None)


def test_a_head_that_was_set_back_is_found_and_seals_nothing_over():
    add_entries(3)
    second = db.session.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == 2))
    attack(f"UPDATE audit_head SET sequence = 2, hash = '{second}'")
    add_entries(1, sealed=False)
    assert found() == (Problem.INSERTED, 3)


def test_a_tail_cut_off_together_with_its_head_is_only_seen_against_a_head_kept_elsewhere():
    add_entries(5)
    kept = Link(read_head().sequence, read_head().hash)
    third = db.session.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == 3))
    attack("DELETE FROM audit_entry WHERE sequence > 3", f"UPDATE audit_head SET sequence = 3, hash = '{third}'")
    assert found() == (None, None)
    assert check_log(kept).problem is Problem.MISSING
    add_entries(4, sealed=False)  # and the site goes on
    verdict = check_log(kept)
    assert (verdict.problem, verdict.sequence) == (Problem.EXPECTED, 5)


def test_a_head_kept_elsewhere_holds_while_the_log_grows():
    add_entries(3)
    kept = Link(read_head().sequence, read_head().hash)
    add_entries(3)
    assert check_log(kept).problem is None


def test_entries_that_nobody_can_seal_are_told_of_after_a_minute():
    add_entries(2)
    attack("UPDATE audit_head SET sequence = 1, hash = 'x'")
    with freeze(utcnow() - timedelta(minutes=2)):
        record_action("campaign.paused", Target("campaign", 1))
        db.session.commit()
    assert check_log().problem is not None
    with pytest.raises(Exception, match=r"(?i)unique"):
        seal()
    db.session.rollback()


def test_a_deed_that_is_rolled_back_leaves_no_entry():
    add_entries(1)
    record_action("campaign.cancelled", Target("campaign", 1))
    db.session.flush()
    db.session.rollback()
    add_entries(1)
    assert found() == (None, None)
    assert db.session.scalars(select(AuditEntry.action)).all() == ["campaign.paused"] * 2
    assert db.session.scalars(select(AuditEntry.sequence).order_by(AuditEntry.id)).all() == [1, 2]


def test_what_json_or_the_database_cannot_hold_does_not_stop_a_deed():
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    record_action(
        "campaign.edited", Target("campaign", 1, "a\0b"), after={"x\0": [float("nan"), moment, {"y": "\ud800"}]}
    )
    db.session.commit()
    seal()
    assert found() == (None, None)
    (entry,) = db.session.scalars(select(AuditEntry))
    assert entry.target == "ab"
    assert entry.after == {"x": ["nan", "2026-11-22 00:00:00+00:00", {"y": "?"}]}


def test_the_walk_goes_over_many_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("campaigns.audit.checking.AT_ONCE", 3)
    add_entries(10)
    assert check_log().entries == 10
    attack("DELETE FROM audit_entry WHERE sequence = 7")
    assert found() == (Problem.MISSING, 7)


def test_a_broken_log_says_so_in_words(app):
    add_entries(3)
    attack("UPDATE audit_entry SET reason = 'x' WHERE sequence = 2")
    answer = app.test_cli_runner().invoke(args=["audit", "verify"])
    assert answer.exit_code == 1
    assert "entry 2 does not have the hash it was sealed with" in answer.output
    told = json.loads(app.test_cli_runner().invoke(args=["audit", "verify", "--json"]).output)
    assert (told["ok"], told["problem"], told["sequence"]) == (False, "changed", 2)


def test_the_command_line_notes_the_head_and_holds_the_log_against_it(app):
    add_entries(3)
    runner = app.test_cli_runner()
    kept = runner.invoke(args=["audit", "head"]).output.strip()
    assert kept == f"3:{db.session.scalar(text('SELECT hash FROM audit_head'))}"
    add_entries(2)
    held = runner.invoke(args=["audit", "verify", "--expect", kept])
    assert (held.exit_code, held.output) == (0, "The activity log is whole: 5 entries, through 5.\n")
    refused = runner.invoke(args=["audit", "verify", "--expect", f"3:{'0' * 64}"])
    assert refused.exit_code == 1
    assert "entry 3 is not the one that was written down" in refused.output
    assert runner.invoke(args=["audit", "verify", "--expect", "three"]).exit_code == 2
