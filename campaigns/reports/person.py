"""Why one address did (not) get a campaign's mail: each rule that was asked, at the freeze and when its turn came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.audit.models import AuditEntry
from campaigns.audit.queries import entries_about
from campaigns.compose.models import Campaign
from campaigns.delivery.message import message_of
from campaigns.delivery.models import Batch, Delivery, DeliveryAttempt, DeliveryState
from campaigns.delivery.queries import attempts_of
from campaigns.extensions import db
from campaigns.reports.timeline import CAMPAIGN_DEEDS

# In the order in which they are asked; the first that holds decides.
ASKED_AT_FREEZE: Final = ("suppressed", "unsubscribed", "unverified")
ASKED_AT_TURN: Final = ("deleted", "suppressed", "unsubscribed")
RULES: Final = ("suppressed", "unsubscribed", "unverified", "deleted")


class Answer(StrEnum):
    """What came of asking a rule."""

    NO = "no"  # it did not hold, so the mail went on its way
    YES = "yes"  # it held, and decided
    NOT_ASKED = "not_asked"  # another had decided, or the turn never came
    NOT_YET = "not_yet"
    NEVER = "never"  # not a rule of that moment


@dataclass(frozen=True)
class RuleAnswers:
    """What one rule said when the recipients were counted, and when it was this mail's turn."""

    rule: str
    at_freeze: Answer
    at_turn: Answer


@dataclass(frozen=True)
class PersonReport:
    """All that is known of one row: the row, its user and suppression of now, its batch and its Message-ID."""

    row: Delivery
    rules: Sequence[RuleAnswers]
    user: User | None
    suppression: Suppression | None
    batch: Batch | None
    message_id: str
    attempts: Sequence[DeliveryAttempt]
    deeds: Sequence[AuditEntry]  # what people did to the whole campaign


def read_person(campaign: Campaign, position: int) -> PersonReport | None:
    """Return what is known of one candidate; None when the campaign holds no such position."""
    row = db.session.get(Delivery, (campaign.id, position))
    if row is None:
        return None
    user = db.session.get(User, row.user_id) if row.user_id else None
    key = user.address_key if user else row.address.lower()
    batch = _batch_of(row)
    is_sent_by_us = batch is not None and campaign.compiled and campaign.launched_at
    return PersonReport(
        row=row,
        rules=[RuleAnswers(rule, _at_freeze(row, rule), _at_turn(row, rule)) for rule in RULES],
        user=user,
        suppression=db.session.get(Suppression, key),
        batch=batch,
        message_id=message_of(campaign).message_id(position) if is_sent_by_us else "",
        attempts=attempts_of(campaign.id, position),
        deeds=entries_about("campaign", campaign.id, CAMPAIGN_DEEDS),
    )


def _at_freeze(row: Delivery, rule: str) -> Answer:
    decided_by = row.reason if row.state == DeliveryState.EXCLUDED else None
    return _answer(rule, ASKED_AT_FREEZE, decided_by)


def _at_turn(row: Delivery, rule: str) -> Answer:
    if rule not in ASKED_AT_TURN:
        return Answer.NEVER
    if row.state == DeliveryState.EXCLUDED:
        return Answer.NOT_ASKED
    if row.attempts == 0 and row.state == DeliveryState.WAITING:
        return Answer.NOT_YET
    if row.attempts == 0 and row.state == DeliveryState.CANCELLED:
        return Answer.NOT_ASKED
    return _answer(rule, ASKED_AT_TURN, row.reason if row.state == DeliveryState.SKIPPED else None)


def _answer(rule: str, asked: Sequence[str], decided_by: str | None) -> Answer:
    if rule not in asked:
        return Answer.NEVER
    if decided_by is None or decided_by not in asked:
        return Answer.NO
    if rule == decided_by:
        return Answer.YES
    return Answer.NO if asked.index(rule) < asked.index(decided_by) else Answer.NOT_ASKED


def _batch_of(row: Delivery) -> Batch | None:
    within = Batch.first_position <= row.position, Batch.last_position >= row.position
    return db.session.scalar(select(Batch).where(Batch.campaign_id == row.campaign_id, *within))
