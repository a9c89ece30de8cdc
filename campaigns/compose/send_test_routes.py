"""Sending a test: up to ten mails, and what came of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery import group
from flask import redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from werkzeug.wrappers import Response

from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose import queries, services
from campaigns.compose.blueprint import bp
from campaigns.compose.forms import TestSendForm
from campaigns.compose.models import Campaign
from campaigns.compose.rendering import ContentError
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.mail.tasks import send_mail
from campaigns.security import Right, can, public, requires
from campaigns.web_extensions import limiter

WATCHED_SECONDS = 120  # how long the result table asks for news
TAKEN_WITHIN_SECONDS = 10  # a worker that is there takes them at once
SETTLED = frozenset({OutboxState.SENT, OutboxState.FAILED, OutboxState.EXPIRED})

logger = logging.getLogger(__name__)


@bp.get("/campaigns/<int:campaign_id>/test")
@requires(Right.WRITE)
def test_campaign(campaign_id: int) -> str:
    """Show the form for a test, and what came of the last one."""
    campaign = queries.get_campaign(campaign_id)
    form = TestSendForm(addresses="\n".join(session.get("test_addresses", [current_user.email])))
    return _test_page(campaign, form)


@bp.post("/campaigns/<int:campaign_id>/test")
@requires(Right.WRITE)
@limiter.limit("5 per minute", key_func=lambda: f"test-send:{current_user.get_id()}")
def send_test(campaign_id: int) -> tuple[str, int] | Response:
    """Send the saved content to up to ten addresses, each as a mail of its own."""
    campaign = queries.get_campaign(campaign_id)
    form = TestSendForm()
    if not form.validate() or not _person_is_known(form) or not _compiles(campaign):
        return _test_page(campaign, form), 422
    addresses = form.chosen_addresses()
    person = _chosen_person(form)
    queued = services.queue_test_mails(campaign_id, addresses, as_user_id=person.id if person else None)
    session["test_addresses"] = addresses
    _enqueue_together(queued.mail_ids)
    return redirect(url_for("compose.test_campaign", campaign_id=campaign_id, group=queued.group_key), code=303)


@bp.get("/campaigns/<int:campaign_id>/test/results")
@requires(Right.WRITE)
def show_test_results(campaign_id: int) -> str:
    """Show the part of the test page that is polled."""
    campaign = queries.get_campaign(campaign_id)
    return render_template("compose/_test_results.html", campaign=campaign, **_test_results(campaign))


@bp.get("/p/test-link")
@public
def explain_test_link() -> str:
    """Say that the unsubscribe link of a test does nothing."""
    return render_template("compose/test_link.html")


def _test_page(campaign: Campaign, form: TestSendForm) -> str:
    return render_template(
        "compose/test.html",
        campaign=campaign,
        form=form,
        compiles=_compiles(campaign),
        may_see_users=can(Right.SEE_USERS),
        **_test_results(campaign),
    )


def _test_results(campaign: Campaign) -> dict[str, Any]:
    group_key = request.args.get("group", "")
    belongs_here = group_key.startswith(services.test_group_prefix(campaign.id))
    results = queries.test_results(group_key) if belongs_here else []
    is_done = _is_done(results)
    return {
        "results": results,
        "group_key": group_key,
        "is_done": is_done,
        "is_late": not is_done and _is_late(results),
    }


def _is_late(results: Sequence[OutboxMail]) -> bool:
    """Tell whether no worker has taken up any of them, and by now one should have."""
    untouched = all(mail.state == OutboxState.WAITING and not mail.attempts for mail in results)
    return untouched and (utcnow() - results[0].created_at).total_seconds() > TAKEN_WITHIN_SECONDS


def _is_done(results: Sequence[OutboxMail]) -> bool:
    if not results:
        return True
    age_seconds = (utcnow() - results[0].created_at).total_seconds()
    return age_seconds > WATCHED_SECONDS or all(mail.state in SETTLED for mail in results)


def _person_is_known(form: TestSendForm) -> bool:
    if not form.person.data or _chosen_person(form):
        return True
    form.person.errors = [_("There is no user with this address.")]
    return False


def _chosen_person(form: TestSendForm) -> User | None:
    if not form.person.data or not can(Right.SEE_USERS):
        return None
    return queries.find_user(form.person.data)


def _compiles(campaign: Campaign) -> bool:
    try:
        queries.compile_campaign(campaign)
    except ContentError:
        return False
    return True


def _enqueue_together(mail_ids: Sequence[int]) -> None:
    """Start the mails as one group; while the broker is away they wait for the sweep of the outbox."""
    try:
        group(send_mail.s(mail_id) for mail_id in mail_ids).apply_async()
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("a test of %s mails waits for the sweep: %s", len(mail_ids), error)
