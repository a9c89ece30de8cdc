"""What the queues need a person for, on the dashboard: no room or no answer, long queues, too many mails asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy import func, select

from campaigns.backlog import find_backlog
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.ops.queues import BrokerAway, RedisState, check_command, ping_broker, redis_state
from campaigns.ops.wording import lane_words
from campaigns.presentation import format_number
from campaigns.reports.attention import Attention, attention_source
from campaigns.security import Right

PUBLIC_KINDS = ("sign_up_received", "verification_requested", "reset_requested")


@attention_source
def trouble_with_redis() -> Iterable[Attention]:
    """Say that Redis takes no writes any more, or is not there."""
    state = redis_state(current_settings().redis_url)
    if state is RedisState.FULL:
        yield _stopped(
            _("Redis is full, so nothing can be put into the queues."),
            _("Nothing is lost, and all goes on by itself. Give it more memory (maxmemory), with noeviction."),
        )
    elif state is RedisState.AWAY:
        yield _stopped(_("Redis cannot be reached."), _kept())


@attention_source
def rabbitmq_away() -> Iterable[Attention]:
    """Say that RabbitMQ is not there, where it carries the messages."""
    settings = current_settings()
    if settings.broker_url.startswith("amqp"):
        try:
            ping_broker(settings)
        except BrokerAway:
            check = _("Check it with this command:")
            yield _stopped(_("RabbitMQ cannot be reached."), f"{_kept()} {check} {check_command(settings)}")


@attention_source
def long_queue() -> Iterable[Attention]:
    """Say that a queue is so long that new campaigns hold."""
    if backlog := find_backlog():
        yield Attention(
            text=_("New campaigns wait: a queue is too long (%(lane)s).", lane=lane_words(backlog.lane)),
            detail=_(
                "%(length)s tasks wait, and the mark is %(mark)s. More workers make it shorter.",
                length=format_number(backlog.length),
                mark=format_number(backlog.mark),
            ),
            url=url_for("ops.jobs"),
            right=Right.SEE_JOBS,
        )


@attention_source
def many_public_mails() -> Iterable[Attention]:
    """Say that the pages for signing up and for a new password have caused as many mails as they may."""
    recent = OutboxMail.kind.in_(PUBLIC_KINDS), OutboxMail.created_at > utcnow() - timedelta(hours=1)
    asked = db.session.scalar(select(func.count()).select_from(OutboxMail).where(*recent)) or 0
    if asked >= current_settings().public_mails_per_hour:
        yield Attention(
            kind="bad",
            text=_("Signing up and password resets are paused: too many mails were asked for in the last hour."),
            detail=_("Somebody may be abusing the forms. They open again by themselves."),
            right=Right.SEE_JOBS,
        )


def _stopped(text: str, detail: str) -> Attention:
    return Attention(kind="bad", text=text, detail=detail, url=url_for("ops.jobs"), right=Right.SEE_JOBS)


def _kept() -> str:
    return str(_("Nothing is lost: what waits is in the database, and goes on by itself when it is back."))
