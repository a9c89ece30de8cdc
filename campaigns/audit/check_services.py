"""Checking the log and remembering what was found; removing what is past its retention. One function, one deed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Table, delete, select, update

from campaigns.audit.checking import REMOVED, Link, Verdict, check_chain
from campaigns.audit.models import AuditEntry, AuditHead
from campaigns.audit.sealing import read_head, seal
from campaigns.audit.services import record_action
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.extensions import db

ROWS_AT_ONCE: Final = 2_000
_ENTRIES: Final[Table] = AuditEntry.__table__


def check_log(expected: Link | None = None) -> Verdict:
    """Check the whole chain and write down what was found, for the dashboard. Commits; harmless to repeat."""
    verdict = check_chain(expected)
    found = {"checked_at": utcnow(), "problem": verdict.problem or "", "problem_sequence": verdict.sequence}
    db.session.execute(update(AuditHead).where(AuditHead.id == 1).values(found))
    db.session.commit()
    return verdict


def remove_old_entries() -> int:
    """Remove entries past their retention, from the oldest end only; return how many. Commits in small steps.

    The anchor is moved first, together with an entry that says so: what is left still proves itself, and the triggers
    let go of what stands before the anchor. Harmless to repeat, and to end halfway.
    """
    keep_days = current_settings().keep_audit_days
    seal()
    head = read_head()
    last = _last_past(utcnow() - timedelta(days=keep_days), head)
    if last.sequence > head.anchor_sequence:
        _move_anchor(head, last)
    return _delete_before_anchor()


def _last_past(cutoff: Any, head: Any) -> Link:
    """Return the last of the entries that are all older; the anchor when there is none."""
    sealed = _ENTRIES.c.sequence > head.anchor_sequence
    younger = select(_ENTRIES.c.sequence).where(sealed, _ENTRIES.c.at >= cutoff).order_by(_ENTRIES.c.sequence).limit(1)
    first_kept = db.session.scalar(younger)
    through = head.sequence if first_kept is None else first_kept - 1
    found = db.session.execute(select(_ENTRIES.c.sequence, _ENTRIES.c.hash).where(_ENTRIES.c.sequence == through))
    row = found.one_or_none()
    return Link(row.sequence, row.hash) if row else Link(head.anchor_sequence, head.anchor_hash)


def _move_anchor(head: Any, to: Link) -> None:
    still = AuditHead.id == 1, AuditHead.anchor_sequence == head.anchor_sequence
    move = update(AuditHead).where(*still).values(anchor_sequence=to.sequence, anchor_hash=to.hash)
    if db.session.execute(move).rowcount == 1:  # type: ignore[attr-defined]
        count = to.sequence - head.anchor_sequence
        record_action(REMOVED, after={"sequence": to.sequence, "hash": to.hash, "entries": count})
    db.session.commit()


def _delete_before_anchor() -> int:
    anchor = read_head().anchor_sequence
    removed = 0
    while True:
        some = select(_ENTRIES.c.id).where(_ENTRIES.c.sequence <= anchor).limit(ROWS_AT_ONCE).scalar_subquery()
        result = db.session.execute(delete(_ENTRIES).where(_ENTRIES.c.id.in_(some)))
        db.session.commit()
        count = int(result.rowcount)  # type: ignore[attr-defined]
        removed += count
        if count < ROWS_AT_ONCE:
            return removed
