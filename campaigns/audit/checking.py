"""Checking the chain: every entry is read, hashed again, and compared with what follows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Table, func, select
from sqlalchemy.exc import IntegrityError

from campaigns.audit.chain import hash_entry
from campaigns.audit.models import AuditEntry, AuditHead
from campaigns.audit.sealing import HeadLost, read_head, seal
from campaigns.clock import utcnow
from campaigns.extensions import db

AT_ONCE: Final = 5_000
REMOVED: Final = "audit.removed"  # the entry that retention leaves of what it takes away
UNSEALED_TOO_LONG: Final = timedelta(minutes=1)
_ENTRIES: Final[Table] = AuditEntry.__table__


class Problem(StrEnum):
    """What is wrong with the log."""

    CHANGED = "changed"  # an entry does not have the hash it was sealed with
    MISSING = "missing"  # an entry is gone
    INSERTED = "inserted"  # an entry stands beyond the end of the chain
    UNSEALED = "unsealed"  # entries have waited for their seal for more than a minute
    HEAD = "head"  # the end of the chain is not where its last entry is
    ANCHOR = "anchor"  # old entries were removed, but not by retention
    EXPECTED = "expected"  # the entry that was written down elsewhere is not the one in the log
    FORGOTTEN = "forgotten"  # the entry that was written down elsewhere is past its retention


@dataclass(frozen=True)
class Link:
    """One place of the chain: its number and the hash of the entry that stands there."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What a check found. `problem` is None when all is well; `sequence` is the first place that is wrong."""

    entries: int
    head: Link
    anchor: Link
    problem: Problem | None = None
    sequence: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON writes."""
        return {
            "ok": self.problem is None,
            "entries": self.entries,
            "head": {"sequence": self.head.sequence, "hash": self.head.hash},
            "removed_through": self.anchor.sequence,
            "problem": self.problem,
            "sequence": self.sequence,
        }


class Broken(Exception):
    """The walk has found the first thing that is wrong."""

    def __init__(self, problem: Problem, sequence: int | None) -> None:
        super().__init__(problem, sequence)
        self.problem, self.sequence = problem, sequence


def check_chain(expected: Link | None = None) -> Verdict:
    """Seal what waits, then walk the whole chain in constant memory and say the first thing that is wrong.

    `expected` is a place that was written down elsewhere: without one, a tail that was cut off together with its head
    row cannot be seen. A check beside which retention moves the anchor begins anew.
    """
    try:
        _seal_what_can_be()
        head = read_head()
    except HeadLost:
        db.session.rollback()
        return Verdict(0, Link(0, ""), Link(0, ""), Problem.HEAD, None)
    verdict = _check_from(head, expected)
    if verdict.problem and read_head().anchor_sequence != head.anchor_sequence:
        return check_chain(expected)
    return verdict


def _seal_what_can_be() -> None:
    try:
        seal()
    except IntegrityError:  # the head was set back: the walk says where
        db.session.rollback()


def _check_from(head: Any, expected: Link | None) -> Verdict:
    end, anchor = Link(head.sequence, head.hash), Link(head.anchor_sequence, head.anchor_hash)
    walk = _Walk(end, anchor, expected)
    try:
        walk.to_the_end()
        _look_beyond(end)
    except Broken as broken:
        return Verdict(walk.entries, end, anchor, broken.problem, broken.sequence)
    return Verdict(walk.entries, end, anchor)


class _Walk:
    """One walk along the chain; `last` is the place it has come to."""

    def __init__(self, end: Link, anchor: Link, expected: Link | None) -> None:
        self.end, self.anchor, self.last, self.expected = end, anchor, anchor, expected
        self.entries = 0
        self.removal: dict[str, Any] = {}

    def to_the_end(self) -> None:
        """Compare every entry with the one before it, and the last with the head. Raises Broken."""
        self._compare_anchor()
        for row in _sealed_rows(self.anchor.sequence, self.end.sequence):
            self._compare(row)
        if self.last.sequence != self.end.sequence:
            raise Broken(Problem.MISSING, self.last.sequence + 1)
        if self.last != self.end:
            raise Broken(Problem.HEAD, self.end.sequence)
        if self.anchor.sequence and self.removal != {"sequence": self.anchor.sequence, "hash": self.anchor.hash}:
            raise Broken(Problem.ANCHOR, self.anchor.sequence)
        if self.expected and self.expected.sequence > self.end.sequence:
            raise Broken(Problem.MISSING, self.end.sequence + 1)

    def _compare_anchor(self) -> None:
        if self.expected and self.expected.sequence < self.anchor.sequence:
            raise Broken(Problem.FORGOTTEN, self.expected.sequence)
        if self.expected and self.expected.sequence == self.anchor.sequence and self.expected != self.anchor:
            raise Broken(Problem.EXPECTED, self.anchor.sequence)

    def _compare(self, row: Any) -> None:
        sequence = self.last.sequence + 1
        if row["sequence"] != sequence:
            raise Broken(Problem.MISSING, sequence)
        own = hash_entry(row, sequence=sequence, previous_hash=self.last.hash)
        if row["previous_hash"] != self.last.hash or row["hash"] != own:
            raise Broken(Problem.CHANGED, sequence)
        if self.expected and self.expected.sequence == sequence and self.expected.hash != own:
            raise Broken(Problem.EXPECTED, sequence)
        if row["action"] == REMOVED:
            self.removal = {name: row["after"].get(name) for name in ("sequence", "hash")}
        self.last, self.entries = Link(sequence, own), self.entries + 1


def _sealed_rows(after: int, through: int) -> Iterator[Any]:
    while True:
        here = _ENTRIES.c.sequence > after, _ENTRIES.c.sequence <= through
        query = select(_ENTRIES).where(*here).order_by(_ENTRIES.c.sequence).limit(AT_ONCE)
        rows = db.session.execute(query).mappings().all()
        yield from rows
        if len(rows) < AT_ONCE:
            return
        after = rows[-1]["sequence"]


def _look_beyond(end: Link) -> None:
    """Find entries that carry a number beyond the head as it is now, and those that nobody seals."""
    head = AuditHead.__table__.c
    beyond = select(func.min(_ENTRIES.c.sequence)).where(head.id == 1, _ENTRIES.c.sequence > head.sequence)
    if (inserted := db.session.scalar(beyond)) is not None:
        raise Broken(Problem.INSERTED, inserted)
    old = _ENTRIES.c.sequence.is_(None), _ENTRIES.c.at < utcnow() - UNSEALED_TOO_LONG
    if db.session.scalar(select(_ENTRIES.c.id).where(*old).limit(1)) is not None:
        raise Broken(Problem.UNSEALED, end.sequence + 1)
