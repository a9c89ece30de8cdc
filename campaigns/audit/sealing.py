"""Sealing: entries that are committed get their place in the chain, one sealer at a time.

Deeds only add rows, so that none waits for another. Whoever seals moves the head by a conditional UPDATE first; of two
at once one changes nothing, and begins anew from where the other has ended.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.audit.chain import hash_entry
from campaigns.audit.models import AuditEntry, AuditHead
from campaigns.extensions import db

AT_ONCE: Final = 500
_ENTRIES: Final[Table] = AuditEntry.__table__
_HEAD: Final[Table] = AuditHead.__table__


class HeadLost(Exception):
    """There are sealed entries, but the row that says how far they go is gone."""


def seal() -> int:
    """Seal every entry that is committed, in the order of the ids; return how many. Commits every few hundred.

    Harmless to repeat, and for two at once. Raises HeadLost, and IntegrityError when the head was set back.
    """
    sealed = 0
    while True:
        count = _seal_some()
        if count == 0:
            return sealed
        sealed += count or 0


def read_head() -> Any:
    """Return the head's row as the database has it now; makes it for a log that has none. Raises HeadLost."""
    head = db.session.execute(select(_HEAD)).one_or_none()
    if head is not None:
        return head
    if db.session.scalar(select(_ENTRIES.c.id).where(_ENTRIES.c.sequence.is_not(None)).limit(1)) is not None:
        raise HeadLost
    insert = postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert
    first = {"id": 1, "sequence": 0, "hash": "", "anchor_sequence": 0, "anchor_hash": "", "problem": ""}
    db.session.execute(insert(AuditHead).values(first).on_conflict_do_nothing())
    db.session.commit()
    return db.session.execute(select(_HEAD)).one()


def _seal_some() -> int | None:
    """Seal the next entries; return how many, 0 when none wait, None when another sealer was first."""
    head = read_head()
    unsealed = select(_ENTRIES).where(_ENTRIES.c.sequence.is_(None)).order_by(_ENTRIES.c.id).limit(AT_ONCE)
    seals, last = [], (head.sequence, head.hash)
    for row in db.session.execute(unsealed).mappings():
        sequence, previous_hash = last[0] + 1, last[1]
        last = sequence, hash_entry(row, sequence=sequence, previous_hash=previous_hash)
        seals.append({"of": row["id"], "place": sequence, "link": previous_hash, "own": last[1]})
    if not seals:
        db.session.rollback()
        return 0
    if not _move_head(head, *last):
        db.session.rollback()
        return None
    db.session.connection().execute(_seal_statement(), seals)
    db.session.commit()
    return len(seals)


def _move_head(head: Any, sequence: int, own_hash: str) -> bool:
    still = (_HEAD.c.id == 1, _HEAD.c.sequence == head.sequence, _HEAD.c.hash == head.hash)
    moved = db.session.execute(update(_HEAD).where(*still).values(sequence=sequence, hash=own_hash))
    return bool(moved.rowcount == 1)  # type: ignore[attr-defined]


def _seal_statement() -> Any:
    return (
        update(_ENTRIES)
        .where(_ENTRIES.c.id == bindparam("of"), _ENTRIES.c.sequence.is_(None))
        .values(sequence=bindparam("place"), previous_hash=bindparam("link"), hash=bindparam("own"))
    )
