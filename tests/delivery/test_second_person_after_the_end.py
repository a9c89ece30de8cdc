"""Going on after the end: where two people have to agree to a launch, they have to agree to this too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import reopening_approval as second
from campaigns.delivery import states
from campaigns.delivery.reconcile import cancel_rest
from campaigns.delivery.reopening import Rest
from campaigns.delivery.second_person_routes import send_approval_mails
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from tests.delivery.campaigns import launch_and_freeze
from tests.pages import submit
from tests.people import log_in, make_user, make_users
from tests.reports.ledgers import LOST, settle_batch
from tests.settings.storing import store_and_look
from tests.smtp_sink import ReceivedMail

pytestmark = pytest.mark.both_databases


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "BATCH_SIZE": "50"}


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


@pytest.fixture
def other_client(app: Flask, owner_client: FlaskClient) -> FlaskClient:
    """Grace may launch too."""
    return log_in(app, make_user("grace@example.com", name="Grace", role="sender", password=True, language="en"))


@pytest.fixture
def cancelled(other_client: FlaskClient) -> int:
    """A campaign to eight people that was launched when nobody had to approve it, and cancelled."""
    make_users(6)
    campaign_id = launch_and_freeze(subject="November")
    states.cancel(campaign_id)
    cancel_rest(campaign_id)
    store_and_look("safety", approve_from=5)
    return campaign_id


def ended_with_uncertain(uncertain: int) -> int:
    campaign_id = launch_and_freeze(subject="November")
    settle_batch(campaign_id, 1, *[LOST] * uncertain)
    db.session.execute(update(Campaign).values(state="sent", finished_at=utcnow()))
    db.session.commit()
    return campaign_id


def subject_of(mail: ReceivedMail) -> str:
    return str(mail.message["Subject"])


def press(client: FlaskClient, campaign_id: int, action: str = "send-rest", *, button: str = "") -> Any:
    page = f"/campaigns/{campaign_id}/after/{action}"
    return submit(client, page, {}, action=f"{page}{button}")


def page_of(client: FlaskClient, campaign_id: int, action: str = "send-rest") -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", client.get(f"/campaigns/{campaign_id}/after/{action}").text).split())


def state_of(campaign_id: int) -> str:
    db.session.rollback()
    return db.session.get_one(Campaign, campaign_id).state


def test_the_rest_goes_out_when_a_second_person_has_approved_it(
    owner_client: FlaskClient, other_client: FlaskClient, cancelled: int
) -> None:
    assert "A second person has to approve this" in page_of(owner_client, cancelled)
    press(owner_client, cancelled)
    assert state_of(cancelled) == "cancelled", "asked for, not done"
    mails = db.session.query(OutboxMail).filter_by(kind="approval_asked").all()
    assert [mail.to_address for mail in mails] == ["grace@example.com"]
    assert "one of these people has to approve it: grace@example.com" in page_of(owner_client, cancelled)
    assert "Review and decide" in other_client.get(f"/campaigns/{cancelled}/report").text
    assert "Asked for by: Ada." in page_of(other_client, cancelled)
    assert press(other_client, cancelled).location.endswith("/progress")
    campaign = db.session.get_one(Campaign, cancelled)
    assert (state_of(cancelled), campaign.pause_reason, campaign.reopening_asked) == (
        "paused",
        "reopened_cancelled",
        "",
    )


def test_nobody_approves_what_they_have_asked_for(owner_client: FlaskClient, cancelled: int) -> None:
    press(owner_client, cancelled)
    owner = db.session.query(User).filter_by(email="ada@example.com").one().id
    assert not second.approve(cancelled, "send-rest", people=8, by=owner)
    assert not second.approve(cancelled, "send-rest", people=7, by=owner + 1), "another number was asked for"
    assert state_of(cancelled) == "cancelled"


def test_a_request_can_be_declined_and_withdrawn(
    owner_client: FlaskClient, other_client: FlaskClient, cancelled: int
) -> None:
    for client in (other_client, owner_client):
        press(owner_client, cancelled)
        assert press(client, cancelled, button="/withdraw").status_code == 303
        assert "A second person has to approve this" in page_of(owner_client, cancelled)
    assert state_of(cancelled) == "cancelled"


def test_the_mail_names_the_number_and_leads_to_the_page(
    owner_client: FlaskClient, cancelled: int, run_queued: Callable[..., Any], sink: Any
) -> None:
    press(owner_client, cancelled)
    run_queued()
    (mail,) = sink.to("grace@example.com")
    assert "“November” is to go to 8 people. Asked for by: Ada." in mail.text
    assert f"/campaigns/{cancelled}/after/send-rest" in mail.text


def test_whoever_asked_is_told_what_was_decided_and_by_whom(
    owner_client: FlaskClient, other_client: FlaskClient, cancelled: int, run_queued: Callable[..., Any], sink: Any
) -> None:
    press(owner_client, cancelled)
    press(other_client, cancelled, button="/withdraw")
    press(owner_client, cancelled)
    press(owner_client, cancelled, button="/withdraw")  # which they know themselves
    press(owner_client, cancelled)
    press(other_client, cancelled)
    run_queued("mail.now")
    declined, approved = sink.to("ada@example.com")
    assert subject_of(declined) == "Declined: November · Carillon"
    assert "You asked to send “November” to 8 more people." in declined.text
    assert "Nothing was sent." in declined.text
    assert "By: Grace" in declined.text
    assert f"/campaigns/{cancelled}/report" in declined.text
    assert "What you asked for was approved" in approved.text
    assert "Sending goes on by itself." in approved.text


def test_whoever_asked_is_told_in_their_language(
    owner_client: FlaskClient, other_client: FlaskClient, cancelled: int, run_queued: Callable[..., Any], sink: Any
) -> None:
    db.session.execute(update(User).where(User.email == "ada@example.com").values(language="ko"))
    db.session.commit()
    page = f"/campaigns/{cancelled}/after/send-rest"
    submit(owner_client, page, {}, action=page)
    press(other_client, cancelled, button="/withdraw")
    run_queued("mail.now")
    (mail,) = sink.to("ada@example.com")
    assert "요청하신 일이 거절되었습니다" in mail.text
    assert "8명" in mail.text


def test_a_request_that_was_overtaken_is_told_too(
    owner_client: FlaskClient, other_client: FlaskClient, run_queued: Callable[..., Any], sink: Any
) -> None:
    """One person of two is sent to alone, which goes on with the campaign and needs nobody else."""
    make_users(6)
    campaign_id = ended_with_uncertain(2)
    store_and_look("safety", approve_from=2)
    press(owner_client, campaign_id, "send-again")
    page = f"/campaigns/{campaign_id}/uncertain/1/send-again"
    submit(other_client, page, {}, action=page)
    assert state_of(campaign_id) == "sending"
    assert db.session.get_one(Campaign, campaign_id).reopening_asked == ""
    run_queued("mail.now")
    (mail,) = sink.to("ada@example.com")
    assert subject_of(mail) == "No longer requested: November · Carillon"
    assert "Something else was done or asked for since." in mail.text


def test_another_request_takes_the_place_of_the_first(
    app: Flask, owner_client: FlaskClient, other_client: FlaskClient, cancelled: int, run_queued: Callable[..., Any],
    sink: Any,
) -> None:  # fmt: skip
    press(owner_client, cancelled)
    asker = db.session.query(User).filter_by(email="grace@example.com").one().id
    assert second.ask(cancelled, "retry-failed", people=7, by=asker)
    send_approval_mails(cancelled)
    run_queued("mail.now")
    owner_mails = [subject_of(mail) for mail in sink.to("ada@example.com")]
    assert "No longer requested: November · Carillon" in owner_mails


def test_an_approved_launch_covers_its_rest_and_not_a_second_mail_to_anybody(
    owner_client: FlaskClient, other_client: FlaskClient, cancelled: int
) -> None:
    approver = db.session.query(User).filter_by(email="grace@example.com").one().id
    db.session.execute(update(Campaign).values(approved_by_id=approver, approved_at=utcnow()))
    db.session.commit()
    campaign = db.session.get_one(Campaign, cancelled)
    assert second.needs_second_person(campaign, Rest.UNCERTAIN, 8)
    assert "No second approval is needed: Grace approved this campaign" in page_of(owner_client, cancelled)
    press(owner_client, cancelled)
    assert state_of(cancelled) == "paused"


def test_few_need_nobody_else(owner_client: FlaskClient, other_client: FlaskClient) -> None:
    make_users(6)
    campaign_id = ended_with_uncertain(4)
    store_and_look("safety", approve_from=5)
    press(owner_client, campaign_id, "send-again")
    assert state_of(campaign_id) == "paused"


def test_where_every_sending_needs_two_one_person_is_not_sent_to_again_by_one_alone(
    owner_client: FlaskClient, other_client: FlaskClient
) -> None:
    campaign_id = ended_with_uncertain(1)
    store_and_look("safety", approve_from=1)
    page = f"/campaigns/{campaign_id}/uncertain/1/send-again"
    answer = submit(owner_client, page, {}, action=page)
    assert answer.location.endswith("/after/send-again")
    assert state_of(campaign_id) == "sent"
