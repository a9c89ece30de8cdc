"""The settings pages: what can be changed while the site runs, section by section."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from campaigns.audience.queries import count_receivers
from campaigns.config import current_settings
from campaigns.security import Right, requires
from campaigns.setting_groups import CHANGEABLE

# Imported so that its pages hang on the blueprint too, and the dashboard has its source.
from campaigns.settings import attention, check_routes, queries, server_routes
from campaigns.settings.blueprint import bp
from campaigns.settings.check_routes import domain_context
from campaigns.settings.forms import FORMS, SectionForm
from campaigns.settings.sections import SECTIONS, Section
from campaigns.settings.services import SettingsConflict, save_section
from campaigns.settings.wording import describe_pace, describe_two_step, describe_value
from campaigns.team.queries import list_members

__all__ = ["attention", "bp", "check_routes", "server_routes"]


@bp.get("/settings")
@requires(Right.MANAGE_SITE)
def index() -> str:
    """List the sections."""
    return render_template("settings/index.html", sections=SECTIONS.values())


@bp.get("/settings/<key>")
@requires(Right.MANAGE_SITE)
def section(key: str) -> str:
    """Show a section's form."""
    chosen = queries.get_section(key)
    now = queries.read_section(chosen)
    return _page(chosen, now, _form(chosen, data={**now.values, "version": now.version}))


@bp.post("/settings/<key>")
@requires(Right.MANAGE_SITE)
def save(key: str) -> Any:
    """Save a section; what somebody else saved meanwhile is shown beside what was typed, and nothing is lost."""
    chosen = queries.get_section(key)
    form = _form(chosen)
    if not form.validate():
        return _page(chosen, queries.read_section(chosen), form), 422
    try:
        changed = save_section(chosen, form.values(), version=form.version.data or 0)
    except SettingsConflict as conflict:
        now = queries.read_section(chosen)
        theirs = {name: value for name, value in now.values.items() if name in form and form[name].data != value}
        form.version.data, form.version.raw_data = now.version, None
        return _page(chosen, now, form, theirs=theirs), conflict.status_code
    flash(
        _("Saved. It applies within seconds, also to campaigns being sent.") if changed else _("Nothing was changed."),
        "ok",
    )
    return redirect(url_for("settings.section", key=key), code=303)


def _form(section: Section, **options: Any) -> SectionForm:
    form = FORMS[section.key](**options)
    for name in queries.fixed_fields(section):
        del form[name]
    return form


def _said_about(section: Section) -> str:
    """Return what the values of a section mean here and now."""
    if section.key == "rates":
        return describe_pace(count_receivers(), current_settings())
    if section.key == "logins":
        return describe_two_step([member.user for member in list_members() if member.user.can_log_in])
    return ""


def _page(
    section: Section, now: queries.SectionValues, form: SectionForm, *, theirs: dict[str, Any] | None = None
) -> str:
    whole = FORMS[section.key]()
    fixed = [
        (whole[name].label.text, describe_value(name, now.values[name]), CHANGEABLE[name])
        for name in section.fields
        if name in queries.fixed_fields(section)
    ]
    return render_template(
        "settings/section.html",
        section=section,
        sections=SECTIONS.values(),
        form=form,
        fixed=fixed,
        theirs=[(form[name].label.text, describe_value(name, value)) for name, value in (theirs or {}).items()],
        is_conflict=theirs is not None,
        said=_said_about(section),
        **(domain_context() if section.key == "senders" else {}),
        is_posted=request.method == "POST",
    )
