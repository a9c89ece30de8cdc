"""The database itself refuses to change the log, whoever asks and by whatever way."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, inspect, text, update
from sqlalchemy.exc import DatabaseError

from campaigns.audit.models import AuditEntry
from campaigns.audit.sealing import seal
from campaigns.audit.triggers import REFUSAL
from campaigns.extensions import db
from tests.audit.entries import add_entries

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]

COPIED = "at, actor, ip, action, target_kind, target_id, target, before, after, reason, previous_hash"
REFUSED = (
    "UPDATE audit_entry SET actor = 'eve@example.com' WHERE sequence = 2",
    "UPDATE audit_entry SET reason = 'x'",
    "UPDATE audit_entry SET sequence = NULL, hash = '', previous_hash = '' WHERE sequence = 3",
    "UPDATE audit_entry SET hash = 'x' WHERE sequence = 1",
    "DELETE FROM audit_entry WHERE sequence = 1",
    "DELETE FROM audit_entry",
    "UPDATE audit_head SET sequence = 1",
    "DELETE FROM audit_head",
    f"INSERT INTO audit_entry ({COPIED}, sequence, hash) SELECT {COPIED}, 4, 'x' FROM audit_entry WHERE sequence = 3",
)


@pytest.mark.parametrize("statement", REFUSED)
def test_a_sealed_log_is_neither_changed_nor_shortened_nor_forged(statement: str):
    add_entries(3)
    with pytest.raises(DatabaseError, match=REFUSAL):
        db.session.execute(text(statement))
    db.session.rollback()


@pytest.mark.parametrize("statement", [update(AuditEntry).values(ip="203.0.113.9"), delete(AuditEntry)])
def test_an_entry_that_waits_for_its_seal_is_guarded_too(statement):
    add_entries(1, sealed=False)
    with pytest.raises(DatabaseError, match=REFUSAL):
        db.session.execute(statement)
    db.session.rollback()


def test_sealing_may_set_the_seal_and_nothing_else():
    add_entries(1, sealed=False)
    with pytest.raises(DatabaseError, match=REFUSAL):
        db.session.execute(text("UPDATE audit_entry SET sequence = 1, hash = 'x', actor = 'eve@example.com'"))
    db.session.rollback()
    assert seal() == 1


def test_postgresql_refuses_to_empty_the_table(database_kind: str):
    if database_kind != "postgresql":
        return
    add_entries(1)
    with pytest.raises(DatabaseError, match=REFUSAL):
        db.session.execute(text("TRUNCATE audit_entry"))
    db.session.rollback()


def test_tables_made_from_the_models_are_guarded_as_the_migrated_ones():
    db.session.execute(text("DROP TABLE audit_entry"))
    db.session.execute(text("DROP TABLE audit_head"))
    db.session.commit()
    db.create_all()
    assert "audit_entry" in inspect(db.engine).get_table_names()
    add_entries(2)
    with pytest.raises(DatabaseError, match=REFUSAL):
        db.session.execute(delete(AuditEntry))
    db.session.rollback()
