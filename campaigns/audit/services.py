"""Writing the activity log: an entry belongs to the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import current_task
from flask import has_request_context
from flask_login import current_user

from campaigns.audit.models import AuditEntry
from campaigns.extensions import db
from campaigns.remote_address import client_address


@dataclass(frozen=True)
class Target:
    """What was acted on: its kind (`campaign`, `user`, `import`, `setting` …), its id, and what it is called now."""

    kind: str
    id: int | str = ""
    name: str = ""


def record_action(
    action: str,
    target: Target | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Add an entry to the transaction that is open; whoever calls commits it together with the deed.

    `action` is `<object>.<verb in the past>`, as `campaign.launched`; `audit/wording.py` has its sentence. `before` and
    `after` hold only what changed, JSON values, never a password, token or body. Nothing is committed here; a repeat
    is a second entry.
    """
    target = target or Target("")
    actor_id, actor = _actor()
    entry = AuditEntry(
        actor_id=actor_id,
        actor=actor,
        ip=client_address() if has_request_context() else "",
        action=action,
        target_kind=target.kind,
        target_id=str(target.id),
        target=target.name[:254],
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason[:300],
    )
    db.session.add(entry)


def _actor() -> tuple[int | None, str]:
    """Return the person of the request, else the task, else the command line."""
    if has_request_context():
        known = current_user.is_authenticated
        return (int(current_user.id), str(current_user.email)) if known else (None, "")
    return None, str(current_task.name) if current_task else "command line"
