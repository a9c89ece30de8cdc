"""Trying settings out: a test mail over a mail server, and a look at the sending domain. The page waits for a task."""

from __future__ import annotations

from typing import Any

from flask import abort, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.celery import enqueue
from campaigns.mail.domain_words import describe_fact
from campaigns.security import Right, requires
from campaigns.settings import checks, queries
from campaigns.settings.blueprint import bp
from campaigns.settings.check_forms import DomainCheckForm
from campaigns.settings.models import CheckKind, SettingsCheck
from campaigns.settings.sections import MAIL, SECTIONS
from campaigns.settings.tasks import run_check
from campaigns.settings.tried_mail import TriedMail
from campaigns.settings.wording import LEVEL_WORDS, describe_step, describe_test, describe_unsent
from campaigns.site import current_site
from campaigns.web_extensions import limiter


@bp.post("/settings/mail/<int:place>/test")
@requires(Right.MANAGE_SITE)
@limiter.limit("10 per minute")
def test_server(place: int) -> Response:
    """Have a test mail sent to the person who asks, and lead to the page that waits for it."""
    queries.mail_section()
    servers = queries.servers_in_use()
    if place >= len(servers):
        abort(404)
    check_id = checks.ask_for_test_mail(servers[place].name, to_address=current_user.email, language=str(get_locale()))
    enqueue(run_check, check_id)
    return redirect(url_for("settings.show_test", check_id=check_id), code=303)


@bp.get("/settings/mail/tests/<int:check_id>")
@requires(Right.MANAGE_SITE)
def show_test(check_id: int) -> str:
    """Show what came of a test mail, or that it is still tried; the polled part alone for htmx."""
    check = checks.get_check(check_id, CheckKind.TEST_MAIL)
    is_part = "HX-Request" in request.headers
    return render_template(
        "settings/_test_live.html" if is_part else "settings/test.html",
        sections=SECTIONS.values(),
        section=SECTIONS[MAIL],
        check=check,
        place=_place_of(check.about),
        describe_step=describe_step,
        **_outcome(check),
    )


@bp.post("/settings/senders/check")
@requires(Right.MANAGE_SITE)
@limiter.limit("10 per minute")
def check_sending_domain() -> Any:
    """Have the sending domain's records looked up, and lead back to the page that waits for it."""
    domain, form = current_site().sender_address.rpartition("@")[2], DomainCheckForm()
    if not domain:
        abort(404)
    if not form.validate():
        return render_template("settings/domain.html", form=form, domain=domain, **_section()), 422
    enqueue(run_check, checks.ask_for_domain(domain, **form.chosen()))
    return redirect(url_for("settings.section", key="senders", _anchor="records"), code=303)


@bp.get("/settings/senders/records")
@requires(Right.MANAGE_SITE)
def domain_records() -> str:
    """Show the part of the senders' page that is polled."""
    return render_template("settings/_domain_live.html", **domain_context())


def domain_context() -> dict[str, Any]:
    """Return what the senders' page says of its domain: the last look, how far it is, and the form for another."""
    domain = current_site().sender_address.rpartition("@")[2]
    last = checks.last_check_of(domain) if domain else None
    asked = {name: " ".join(words) for name, words in last.asked.items()} if last else {}
    facts = [(fact, LEVEL_WORDS[fact.level], *describe_fact(fact)) for fact in checks.facts_of(last)] if last else []
    return {
        "domain": domain,
        "look": last,
        "standing": checks.standing_of(last) if last else None,
        "facts": facts,
        "look_form": DomainCheckForm(formdata=None, data=asked),
    }


def _section() -> dict[str, Any]:
    return {"sections": SECTIONS.values(), "section": SECTIONS["senders"]}


def _place_of(name: str) -> int | None:
    """Return where a server stands in the list now; it may have gone or moved."""
    names = [server.name for server in queries.servers_in_use()]
    return names.index(name) if name in names else None


def _outcome(check: SettingsCheck) -> dict[str, Any]:
    standing = checks.standing_of(check)
    if "steps" not in check.result:
        return {"standing": standing, "verdict": describe_unsent(standing, check.result.get("error")), "steps": ()}
    result = TriedMail.from_dict(check.result)
    return {"standing": standing, "verdict": describe_test(result, check.asked["to"]), "steps": result.steps}
