"""The activity log's page, and the same as a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from flask import Blueprint, Response, current_app, render_template, request, url_for
from flask_babel import gettext as _

import campaigns.audit.tasks  # noqa: F401 - registers the tasks
from campaigns.audit import queries
from campaigns.audit.details import changes_of
from campaigns.audit.forms import FilterForm
from campaigns.audit.models import AuditEntry
from campaigns.audit.sealing import seal
from campaigns.audit.services import Target, record_export
from campaigns.audit.wording import action_words, actor_words, kind_words, problem_words, reason_words
from campaigns.csv_downloads import csv_response
from campaigns.extensions import db
from campaigns.security import Right, can, guard_of, requires

# Where an object is looked at: the areas stand above this one, so their pages are named. The id's parts, separated by
# a slash, are the address' arguments in this order.
PAGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "campaign": ("compose.show_campaign", ("campaign_id",)),
    "delivery": ("reports.report_person", ("campaign_id", "position")),
    "user": ("audience.show_user", ("user_id",)),
    "import": ("audience.show_import", ("import_id",)),
    "job": ("ops.jobs", ()),
    "invitation": ("team.list_members", ()),
    "setting": ("settings.index", ()),
}

bp = Blueprint("audit", __name__)
logger = logging.getLogger(__name__)


@bp.get("/audit")
@requires(Right.SEE_AUDIT)
def list_entries() -> str:
    """Show the entries that match, the newest first."""
    _seal_quietly()
    form = FilterForm()
    page = queries.entry_page(
        form.chosen, before=request.args.get("before", type=int), after=request.args.get("after", type=int)
    )
    return render_template(
        "audit/list.html",
        form=form,
        page=page,
        arguments=form.as_arguments,
        chain=queries.find_head(),
        action_words=action_words,
        actor_words=actor_words,
        kind_words=kind_words,
        problem_words=problem_words,
        changes_of=changes_of,
        reason_words=reason_words,
        object_url=object_url,
    )


@bp.get("/audit.csv")
@requires(Right.SEE_AUDIT)
def entries_file() -> Response:
    """Answer with the entries that match, the oldest first, with what `flask audit verify` checks them by."""
    form, through = FilterForm(), queries.last_id()
    filters = form.chosen
    rows = queries.count_entries(filters)
    record_export(
        "audit.exported", Target("audit"), rows=rows, reason=request.args.get("why", ""), filters=form.as_arguments
    )
    header = [
        _("Number"), _("When (UTC)"), _("Who"), _("IP address"), _("Action"), _("In words"), _("Kind of object"),
        _("Number of the object"), _("Object"), _("Before"), _("After"), _("Why"), _("Hash"),
    ]  # fmt: skip
    return csv_response("activity-log", header, _file_rows(queries.read_entries(filters, through=through)))


def object_url(entry: AuditEntry) -> str:
    """Return where the object of an entry is looked at, by those who may; else an empty text."""
    endpoint, names = PAGES.get(entry.target_kind, ("", ()))
    view = current_app.view_functions.get(endpoint)
    parts = entry.target_id.split("/") if entry.target_id else []
    if view is None or len(parts) < len(names) or not all(part.isdigit() for part in parts[: len(names)]):
        return ""
    guard = guard_of(view)
    if not isinstance(guard, Right) or not can(guard):
        return ""
    values: dict[str, Any] = dict(zip(names, map(int, parts), strict=False))
    return url_for(endpoint, **values)


def _seal_quietly() -> None:
    """A log that cannot be sealed can still be read, and its check says why."""
    try:
        seal()
    except Exception:
        db.session.rollback()
        logger.exception("the activity log could not be sealed")


def _file_rows(entries: Iterator[AuditEntry]) -> Iterator[Sequence[Any]]:
    for each in entries:
        yield (
            each.sequence, each.at.strftime("%Y-%m-%d %H:%M:%S.%f"), each.actor, each.ip, each.action,
            action_words(each.action), each.target_kind, each.target_id, each.target, _json(each.before),
            _json(each.after), each.reason, each.hash,
        )  # fmt: skip


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
