"""The page of the mail servers: add, change and remove; check_routes.py sends a test mail over one."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from campaigns.errors import Conflict
from campaigns.security import Right, requires
from campaigns.settings import queries, server_services
from campaigns.settings.blueprint import bp
from campaigns.settings.sections import MAIL, SECTIONS
from campaigns.settings.server_forms import RemoveForm, ServerForm
from campaigns.settings.server_services import stored_entries
from campaigns.settings.wording import ENCRYPTION_WORDS


@bp.get("/settings/mail")
@requires(Right.MANAGE_SITE)
def mail_servers() -> str:
    """Show the mail servers, and what is missing of them."""
    return _page("settings/mail.html", servers=_shown_servers())


@bp.route("/settings/mail/add", methods=["GET", "POST"])
@requires(Right.MANAGE_SITE)
def add_server() -> Any:
    """Add a mail server; the first one ends trial mode."""
    return _edit(None)


@bp.route("/settings/mail/<int:place>", methods=["GET", "POST"])
@requires(Right.MANAGE_SITE)
def change_server(place: int) -> Any:
    """Change a mail server; its password stays unless another is typed."""
    return _edit(place)


@bp.route("/settings/mail/<int:place>/remove", methods=["GET", "POST"])
@requires(Right.MANAGE_SITE)
def remove_server(place: int) -> Any:
    """Ask, and remove a mail server; without any the site is in trial mode."""
    entries, version = _entries(place)
    form = RemoveForm(is_last=len(entries) == 1)
    if not form.validate_on_submit():
        status = 422 if form.is_submitted() else 200
        form.version.data = version
        return _page("settings/server_remove.html", form=form, entry=entries[place], place=place), status
    try:
        server_services.remove_server(place, version=form.version.data or 0)
    except Conflict as conflict:
        flash(conflict.message, "warn")
        return _back()
    flash(_("The mail server was removed."), "ok")
    return _back()


def _edit(place: int | None) -> Any:
    entries, version = _entries(place)
    stored = entries[place] if place is not None else None
    others = frozenset(f"{each['host']}:{each['port']}" for each in entries if each is not stored)
    shown = {name: value for name, value in (stored or {}).items() if name != "password"} | {"version": version}
    form = ServerForm(data=shown, stored=stored, others=others)
    if not form.validate_on_submit():
        return _server_page(form, place), 422 if form.is_submitted() else 200
    try:
        server_services.save_server(form.entry(), place=place, version=form.version.data or 0)
    except Conflict as conflict:
        form.form_errors.append(f"{conflict.message} {_('Look at the list before you save again.')}")
        form.version.data = queries.section_version(MAIL)
        return _server_page(form, place), 409
    flash(_("Saved. New connections use it within seconds, also for campaigns being sent."), "ok")
    return _back()


def _entries(place: int | None) -> tuple[list[dict[str, Any]], int]:
    version = queries.mail_section().version
    if queries.servers_are_fixed():
        abort(404)
    entries = stored_entries()
    if place is not None and place >= len(entries):
        abort(404)
    return entries, version


def _shown_servers() -> list[dict[str, Any]]:
    queries.mail_section()
    lost = queries.servers_without_password()
    return [
        {
            "name": server.name,
            "tls": ENCRYPTION_WORDS[server.settings.security.value],
            "username": server.settings.username,
            "weight": server.weight,
            "command": "BDAT" if server.settings.use_chunking else "DATA",
            "is_lost": server.name in lost,
        }
        for server in queries.servers_in_use()
    ]


def _server_page(form: ServerForm, place: int | None) -> str:
    servers = queries.mail_section().values["mail_servers"]
    is_lost = place is not None and place < len(servers) and servers[place].password_is_lost
    return _page("settings/server.html", form=form, place=place, is_first=not servers, is_lost=is_lost)


def _page(template: str, **context: Any) -> str:
    fixed = queries.servers_are_fixed()
    return render_template(template, sections=SECTIONS.values(), section=SECTIONS[MAIL], is_fixed=fixed, **context)


def _back() -> Response:
    return redirect(url_for("settings.mail_servers"), code=303)
