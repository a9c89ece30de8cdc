"""Entries for tests, and a database without the log's triggers, as somebody has it who means harm."""

from __future__ import annotations

from sqlalchemy import text

from campaigns.audit.sealing import seal
from campaigns.audit.services import Target, record_action
from campaigns.extensions import db


def add_entries(count: int, *, sealed: bool = True) -> None:
    """Add entries about campaigns 1, 2, …, committed one by one."""
    for number in range(1, count + 1):
        record_action(
            "campaign.paused", Target("campaign", number, f"소식 {number}"), after={"reason": "가나다", "n": number}
        )
        db.session.commit()
    if sealed:
        assert seal() >= count


def attack(*statements: str) -> None:
    """Run statements as somebody who may switch the triggers off, and switch them on again."""
    _switch("DISABLE")
    for statement in statements:
        db.session.execute(text(statement))
    db.session.commit()
    _switch("ENABLE")
    db.session.expire_all()


def _switch(word: str) -> None:
    if db.engine.dialect.name == "postgresql":
        for table in ("audit_entry", "audit_head"):
            db.session.execute(text(f"ALTER TABLE {table} {word} TRIGGER USER"))
    elif word == "DISABLE":
        names = db.session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
        for name in names:
            db.session.execute(text(f"DROP TRIGGER {name}"))
    db.session.commit()
