"""Writing the activity log: an entry belongs to the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from celery import current_task
from flask import has_request_context
from flask_login import current_user
from sqlalchemy import select

from campaigns.audit.models import COMMAND_LINE, AuditEntry
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.remote_address import client_address

ONCE_PER: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Target:
    """What was acted on: its kind (`campaign`, `user`, `import`, `setting` …), its id, and what it is called now."""

    kind: str
    id: int | str = ""
    name: str = ""


@dataclass(frozen=True)
class Actor:
    """Who acts: a person by id and address, or a command or task by its name; nobody known when both are empty.

    Said only where the request does not know: a log-in that begins, a link in a mail.
    """

    id: int | None = None
    name: str = ""
    ip: str = ""


def record_action(
    action: str,
    target: Target | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    by: Actor | None = None,
) -> None:
    """Add an entry to the transaction that is open; whoever calls commits it together with the deed.

    `action` is `<object>.<verb in the past>`, as `campaign.launched`; `audit/wording.py` has its sentence. `before` and
    `after` hold only what changed, JSON values, never a password, token or body. Nothing is committed here; a repeat
    is a second entry. Without `by` it is the person of the request, else the task or the command line.
    """
    target, by = target or Target(""), by or this_actor()
    entry = AuditEntry(
        actor_id=by.id,
        actor=_plain(by.name)[:254],
        ip=(by.ip or _this_ip())[:45],
        action=action,
        target_kind=target.kind,
        target_id=_plain(str(target.id))[:64],
        target=_plain(target.name)[:254],
        before=_plain(dict(before or {})),
        after=_plain(dict(after or {})),
        reason=_plain(reason.strip())[:300],
    )
    db.session.add(entry)


def record_once(
    action: str,
    target: Target,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> bool:
    """As `record_action`, unless the same person did the same to the same object within the hour; tells which."""
    actor = this_actor()
    same = (
        AuditEntry.target_kind == target.kind,
        AuditEntry.target_id == str(target.id),
        AuditEntry.action == action,
        AuditEntry.actor_id == actor.id,
        AuditEntry.actor == actor.name,
        AuditEntry.at > utcnow() - ONCE_PER,
    )
    if db.session.scalar(select(AuditEntry.id).where(*same).limit(1)) is not None:
        return False
    record_action(action, target, before=before, after=after, by=actor)
    return True


def record_view(action: str, target: Target) -> None:
    """Note that personal data was seen, once per person, object and hour. Commits; harmless to repeat."""
    if record_once(action, target):
        db.session.commit()


def record_export(action: str, target: Target, *, rows: int, reason: str = "", **what: Any) -> None:
    """Note that personal data leaves as a file: how many rows, which of them (`what`), and why. Commits."""
    record_action(
        action, target, after={"rows": rows, **{name: value for name, value in what.items() if value}}, reason=reason
    )
    db.session.commit()


def person_target(user_id: int, address: str, *, role: str | None = None) -> Target:
    """Return a person as a target: by id and masked address, in full only for those who run the site.

    A recipient has a right to be forgotten (GDPR Art. 17), and the log cannot forget.
    """
    return Target("user", user_id, address if role else mask(address))


def person_actor(user_id: int, address: str, *, role: str | None) -> Actor:
    """Return a person as an actor; masked as in `person_target`, since people without a role act on themselves."""
    return Actor(user_id, address if role else mask(address))


def mask(text: str) -> str:
    """Return the first letter of a name or address, and an address' domain: k***@example.com; empty stays empty."""
    local, at, domain = text.rpartition("@")
    shown = local if at else text
    return f"{shown[:1]}***{at}{domain if at else ''}" if text else ""


def what_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was before and what is after, only where they differ."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def this_actor() -> Actor:
    """Return the person of the request, else the task, else the command line."""
    if has_request_context():
        if not current_user.is_authenticated:
            return Actor()
        role = getattr(current_user, "role", None)
        return person_actor(int(current_user.id), str(current_user.email), role=role)
    return Actor(name=str(current_task.name) if current_task else COMMAND_LINE)


def _this_ip() -> str:
    return client_address() if has_request_context() else ""


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it on both databases; PostgreSQL has no room for NUL in text."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return _plain(str(value))
