"""What repeated campaigns need a person for: dates that were missed, and content that cannot be sent any more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy import select

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.titles import subject_title
from campaigns.delivery.models import Occurrence, OccurrenceState, Recurrence
from campaigns.extensions import db
from campaigns.presentation import format_date
from campaigns.reports.attention import Attention, attention_source
from campaigns.security import Right

SAID_FOR: Final = timedelta(days=7)
NOT_SENT: Final = (OccurrenceState.MISSED, OccurrenceState.FAILED)


@attention_source
def dates_not_sent() -> Iterable[Attention]:
    """Say which dates of the last week brought no mail although nobody had left them out."""
    query = (
        select(Occurrence, Campaign.id, Campaign.subject)
        .join(Recurrence, Recurrence.id == Occurrence.recurrence_id)
        .join(Campaign, Campaign.id == Recurrence.campaign_id)
        .where(Occurrence.state.in_(NOT_SENT), Occurrence.planned_at >= utcnow() - SAID_FOR)
        .order_by(Occurrence.planned_at)
    )
    for occurrence, campaign_id, subject in db.session.execute(query).all():
        day = format_date(occurrence.local_date)
        title = subject_title(subject, date=day)
        yield Attention(
            kind="bad",
            text=_("“%(subject)s” did not go out on %(date)s.", subject=title, date=day),
            detail=occurrence.reason or _("Its time had passed too long ago to send it without asking."),
            url=url_for("delivery.repeat_form", campaign_id=campaign_id),
            right=Right.LAUNCH,
        )
