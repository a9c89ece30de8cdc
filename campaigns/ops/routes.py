"""Health for machines, the jobs page for admins, and the inbox of trial mode."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, abort, current_app, jsonify, render_template, request
from flask_babel import gettext as _
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

import campaigns.ops.attention  # what the dashboard says of workers and tasks
import campaigns.ops.broker_attention  # and of the queues
import campaigns.ops.tasks  # noqa: F401 - registers the tasks
from campaigns.config import current_settings
from campaigns.errors import Forbidden, NotFound

# Imported so that their pages hang on the blueprint too.
from campaigns.ops import failure_routes, schedule_routes
from campaigns.ops.blueprint import bp
from campaigns.ops.flower_log_in import flower_authorization
from campaigns.ops.health import OK, check_everything
from campaigns.ops.inbox import inbox_path, parse_mail, part_text, read_mail, read_page
from campaigns.ops.job_words import job_words
from campaigns.ops.jobs import read_jobs
from campaigns.ops.queues import check_command
from campaigns.remote_address import is_from_this_machine
from campaigns.security import Right, can, csp, public, requires, status_only

__all__ = ["bp", "failure_routes", "schedule_routes"]

MOST_SHOWN_SOURCE = 200_000  # characters; the whole source can be downloaded


@bp.get("/healthz")
@public
def healthz() -> AnyResponse:
    """Say that this process answers; looks at nothing else."""
    return jsonify(status=OK)


@bp.get("/readyz")
@public
def readyz() -> tuple[AnyResponse, int]:
    """Say of the database, Redis, broker, workers and beat whether each is ok, or why not."""
    checks = check_everything(current_app._get_current_object())  # type: ignore[attr-defined]
    is_ready = all(answer == OK for answer in checks.values())
    return jsonify(ready=is_ready, checks=checks), 200 if is_ready else 503


@bp.get("/jobs")
@requires(Right.SEE_JOBS)
def jobs() -> str:
    """Show what runs, what waits and what failed; the polled part alone for htmx."""
    template = "ops/jobs_live.html" if request.headers.get("HX-Request") else "ops/jobs.html"
    return render_template(template, jobs=read_jobs(), command=check_command(current_settings()), **job_words())


@bp.get("/auth/flower")
@status_only
@requires(Right.MANAGE_JOBS)
def admit_to_flower() -> AnyResponse:
    """Tell a proxy whether this person may see Flower, and what it has to show there (nginx's auth_request)."""
    settings = current_settings()
    passed_on = {"X-Flower-Authorization": flower_authorization(settings)} if settings.flower_url else {}
    return Response(status=204, headers=passed_on)


@bp.get("/inbox")
@public
def inbox() -> str:
    """List the mails that the built-in catcher took, newest first.

    Public, so that signing up can be tried; but only on this machine: the mails hold links that open accounts.
    """
    path = inbox_path(_trial_settings().instance_dir)
    search = request.args.get("q", "").strip()[:200]
    older_than, newer_than = (request.args.get(name, type=int) for name in ("older", "newer"))
    page = read_page(path, search=search, older_than=older_than, newer_than=newer_than)
    return render_template("ops/inbox.html", page=page, search=search)


@bp.get("/inbox/<int:mail_id>")
@public
def inbox_mail(mail_id: int) -> str:
    """Show one caught mail: its HTML in a sandboxed frame, its text, or its source."""
    mail, raw = _caught(mail_id)
    message = parse_mail(raw)
    html, text = part_text(message, "html"), part_text(message, "plain")
    view = request.args.get("view", "html" if html else "text")
    source = raw.decode("utf-8", "replace") if view == "source" else ""
    return render_template(
        "ops/inbox_mail.html",
        mail=mail,
        view=view,
        has_html=bool(html),
        text=_with_links(text),
        source=source[:MOST_SHOWN_SOURCE],
        is_cut=len(source) > MOST_SHOWN_SOURCE,
        from_header=str(message.get("From", mail.sender)),
    )


@bp.get("/inbox/<int:mail_id>/html")
@public
@csp("received")
def inbox_html(mail_id: int) -> Response:
    """Return the HTML part of a mail for the frame; its links open in a window of their own."""
    _mail, raw = _caught(mail_id)
    html = part_text(parse_mail(raw), "html")
    return Response(_opening_links_outside(html), content_type="text/html; charset=utf-8")


@bp.get("/inbox/<int:mail_id>/raw")
@public
@csp("received")
def inbox_raw(mail_id: int) -> Response:
    """Return the source of a mail, byte for byte."""
    mail, raw = _caught(mail_id)
    answer = Response(raw, content_type="text/plain; charset=utf-8")
    answer.headers["Content-Disposition"] = f'inline; filename="mail-{mail.id}.eml.txt"'
    return answer


def _trial_settings() -> Any:
    settings = current_settings()
    if not settings.trial_mode:
        abort(404)
    if not is_from_this_machine() and not can(Right.VIEW):
        raise Forbidden(
            _(
                "These mails may hold links that open accounts. They are shown on the machine that Carillon runs on, "
                "and to people with a role who have logged in."
            )
        )
    return settings


def _caught(mail_id: int) -> tuple[Any, bytes]:
    found = read_mail(inbox_path(_trial_settings().instance_dir), mail_id)
    if found is None:
        raise NotFound(_("This mail is not in the inbox any more."))
    return found


def _opening_links_outside(html: str) -> str:
    """Return the HTML with a base target, so that a click does not try to open the page inside the frame."""
    base = '<base target="_blank">'
    changed, count = re.subn(r"(<head\b[^>]*>)", rf"\1{base}", html, count=1, flags=re.IGNORECASE)
    return changed if count else base + html


def _with_links(text: str) -> Markup:
    """Return plain text as HTML in which http addresses can be clicked."""
    pieces = re.split(r"(https?://[^\s<>\"]+)", text)
    link = Markup('<a href="{0}" target="_blank" rel="noopener">{0}</a>')
    return Markup("").join(link.format(piece) if n % 2 else piece for n, piece in enumerate(pieces))
