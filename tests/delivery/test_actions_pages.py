"""After the end, as pages: the number first, a word to type for many, a new number refused, and each person by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns import clock
from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import launch, rounds, states
from campaigns.delivery.models import Delivery
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.reconcile import cancel_rest
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.pages import forms_of, submit
from tests.people import log_in, make_user, make_users
from tests.reports.ledgers import LOST, NO_USER, Outcome, settle_batch

GAVE_UP = Outcome("failed", "greylisted", "451 4.7.1 try again later")


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "BATCH_SIZE": "50", "CONFIRM_FROM": "40"}


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


def ended(people: int, *outcomes: Outcome) -> int:
    """End a campaign to the owner and `people` - 1 others; the first have these outcomes."""
    make_users(people - 1)
    campaign_id = launch_and_freeze(subject="November")
    for first in range(0, people, 50):
        settle_batch(campaign_id, first // 50 + 1, *outcomes[first : first + 50])
    rounds.finish(campaign_id)
    return campaign_id


def cancelled(people: int) -> int:
    make_users(people - 1)
    campaign_id = launch_and_freeze(subject="November")
    states.cancel(campaign_id)
    cancel_rest(campaign_id)
    return campaign_id


@pytest.fixture
def send(app: Flask, run_queued: Callable[..., Any]) -> Callable[[], None]:
    """Run what was enqueued, and the sweep that closes what is through."""

    def run() -> None:
        run_queued()
        app.extensions["celery"].tasks["delivery.reconcile"]()

    return run


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def state_of(campaign_id: int) -> str:
    db.session.rollback()
    return db.session.get_one(Campaign, campaign_id).state


def open_form(client: FlaskClient, campaign_id: int, action: str) -> dict[str, Any]:
    page = client.get(f"/campaigns/{campaign_id}/after/{action}")
    assert page.status_code == 200
    return next(form["fields"] for form in forms_of(page.text) if "counted" in form["fields"])


def post(client: FlaskClient, campaign_id: int, action: str, fields: dict[str, Any], **changes: str) -> Any:
    return client.post(f"/campaigns/{campaign_id}/after/{action}", data={**fields, **changes})


def test_the_report_leads_to_the_uncertain_by_name(owner_client: FlaskClient) -> None:
    campaign_id = ended(5, LOST, LOST)
    assert f'href="/campaigns/{campaign_id}/uncertain"' in owner_client.get(f"/campaigns/{campaign_id}/report").text
    page = text(owner_client.get(f"/campaigns/{campaign_id}/uncertain").text)
    assert "2 mails have no answer" in page
    assert "person1@example.com" in page
    assert "person2@example.com" not in page


def test_leaving_each_ends_the_review(owner_client: FlaskClient) -> None:
    campaign_id = ended(5, LOST, LOST)
    progress = f"/campaigns/{campaign_id}/progress"
    assert "Needs review" in owner_client.get(progress).text
    for position in (1, 2):
        answer = submit(owner_client, f"/campaigns/{campaign_id}/uncertain", {},
                        action=f"/campaigns/{campaign_id}/uncertain/{position}/leave")  # fmt: skip
        assert answer.status_code == 303
    assert "Everything is decided" in owner_client.get(f"/campaigns/{campaign_id}/uncertain").text
    page = owner_client.get(progress).text
    assert "Needs review" not in page
    assert "have no answer" not in page
    assert "2 not certain" in text(page), "the sum still says the truth"
    assert "it is not certain that everybody got it" not in owner_client.get("/").text
    report = owner_client.get(f"/campaigns/{campaign_id}/report").text
    assert "A person has decided to leave it as it is" in report


def test_sending_to_one_again_warns_that_it_may_arrive_twice_and_sends_once(
    owner_client: FlaskClient, send: Callable[[], None], sink: Any
) -> None:
    campaign_id = ended(5, LOST, LOST)
    path = f"/campaigns/{campaign_id}/uncertain/2/send-again"
    page = owner_client.get(path).text
    assert "The mail may arrive twice" in page
    assert "person1@example.com" in page
    assert state_of(campaign_id) == "sent", "looking changes nothing"
    assert submit(owner_client, path, {}, action=path).location == f"/campaigns/{campaign_id}/progress"
    assert owner_client.get(path).status_code == 404
    send()
    assert [mail.recipient for mail in sink.mails] == ["person1@example.com"]
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.uncertain, totals) == ("sent", 1, ledger_totals(campaign_id))


def test_a_second_click_on_send_again_says_that_there_is_nothing_to_do(owner_client: FlaskClient) -> None:
    campaign_id = ended(5, LOST)
    path = f"/campaigns/{campaign_id}/uncertain/1/send-again"
    token = forms_of(owner_client.get(path).text)[-1]["fields"]
    owner_client.post(path, data=token)
    answer = owner_client.post(path, data=token)
    assert answer.status_code == 303
    assert "is not uncertain any more" in owner_client.get(answer.location).text


def test_up_to_twenty_at_once_need_no_word(owner_client: FlaskClient, send: Callable[[], None]) -> None:
    campaign_id = ended(30, *[LOST] * 20)
    fields = open_form(owner_client, campaign_id, "leave")
    assert "typed" not in fields
    assert post(owner_client, campaign_id, "leave", fields).status_code == 303
    assert "20 mails were left as they are." in owner_client.get(f"/campaigns/{campaign_id}/report").text


@pytest.mark.parametrize(
    ("action", "word", "typed"),
    [
        ("leave", "leave", "LEAVE"),
        ("leave", "leave", "그대로"),
        ("send-again", "send again", " Send again "),
        ("send-again", "send again", "다시 보내기"),
    ],
)
def test_above_twenty_the_word_has_to_be_typed(owner_client: FlaskClient, action: str, word: str, typed: str) -> None:
    campaign_id = ended(30, *[LOST] * 21)
    fields = open_form(owner_client, campaign_id, action)
    wrong = post(owner_client, campaign_id, action, fields, typed="yes")
    assert wrong.status_code == 422
    assert f"To go on, type: {word}" in wrong.text
    assert state_of(campaign_id) == "sent"
    assert post(owner_client, campaign_id, action, fields, typed=typed).status_code == 303


def test_all_uncertain_are_sent_to_again_once_however_often_it_is_clicked(
    owner_client: FlaskClient, send: Callable[[], None], sink: Any
) -> None:
    campaign_id = ended(5, LOST, LOST, LOST)
    fields = open_form(owner_client, campaign_id, "send-again")
    for _click in range(2):
        post(owner_client, campaign_id, "send-again", fields)
    page = owner_client.get(f"/campaigns/{campaign_id}/progress").text
    assert "are being queued again" in page
    send()
    assert len(sink.mails) == 3
    assert state_of(campaign_id) == "sent"


def test_only_those_who_failed_for_a_time_are_tried_again_with_the_number_first(
    owner_client: FlaskClient, send: Callable[[], None], sink: Any
) -> None:
    campaign_id = ended(6, GAVE_UP, NO_USER, GAVE_UP)
    failures = owner_client.get(f"/campaigns/{campaign_id}/report/failures").text
    assert "Try 2 temporary failures again" in failures
    page = text(owner_client.get(f"/campaigns/{campaign_id}/after/retry-failed").text)
    assert "2 people's mails were only temporarily refused" in page.replace("&#39;", "'")
    assert "Send to 2 people" in page
    post(owner_client, campaign_id, "retry-failed", open_form(owner_client, campaign_id, "retry-failed"))
    send()
    assert sorted(mail.recipient for mail in sink.mails) == ["ada@example.com", "person2@example.com"]
    assert campaign_totals(campaign_id).failed == 1


def test_the_rest_of_a_cancelled_campaign_is_sent_to_exactly(
    owner_client: FlaskClient, send: Callable[[], None], sink: Any
) -> None:
    campaign_id = cancelled(60)
    assert "Send to exactly the 60 people left" in owner_client.get(f"/campaigns/{campaign_id}/report").text
    fields = open_form(owner_client, campaign_id, "send-rest")
    assert post(owner_client, campaign_id, "send-rest", fields, typed="6").status_code == 422
    assert post(owner_client, campaign_id, "send-rest", fields, typed="６０").status_code == 303
    send()
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 60
    assert state_of(campaign_id) == "sent"


def test_a_number_that_changed_by_more_than_ten_is_shown_anew_and_nothing_is_done(
    owner_client: FlaskClient, send: Callable[[], None]
) -> None:
    campaign_id = cancelled(30)
    fields = open_form(owner_client, campaign_id, "send-rest")
    answer = post(owner_client, campaign_id, "send-rest", fields | {"counted": "19"})
    assert answer.status_code == 422
    assert "it went from 19 to 30" in answer.text
    assert state_of(campaign_id) == "cancelled"
    assert next(f["fields"]["counted"] for f in forms_of(answer.text) if "counted" in f["fields"]) == "30"
    assert post(owner_client, campaign_id, "send-rest", fields | {"counted": "20"}).status_code == 303


def test_the_number_that_was_shown_is_the_one_to_type(owner_client: FlaskClient) -> None:
    campaign_id = cancelled(60)
    shown = open_form(owner_client, campaign_id, "send-rest") | {"counted": "57"}
    refused = post(owner_client, campaign_id, "send-rest", shown, typed="75")
    assert refused.status_code == 422
    assert "To go on, type: 60" in text(refused.text)
    assert "57" not in text(refused.text.partition("<main")[2])
    assert post(owner_client, campaign_id, "send-rest", shown, typed="57").status_code == 303


@pytest.mark.parametrize("action", ["send-again", "retry-failed", "send-rest"])
def test_a_campaign_that_has_not_ended_is_not_reopened(owner_client: FlaskClient, action: str) -> None:
    campaign_id = ended(6, LOST, GAVE_UP, Outcome("cancelled"))
    fields = open_form(owner_client, campaign_id, action)
    submit(owner_client, f"/campaigns/{campaign_id}/uncertain/1/send-again", {},
           action=f"/campaigns/{campaign_id}/uncertain/1/send-again")  # fmt: skip
    for ask in (owner_client.get, partial(owner_client.post, data=fields)):
        answer = ask(f"/campaigns/{campaign_id}/after/{action}")
        assert (answer.status_code, answer.location) == (303, f"/campaigns/{campaign_id}/progress")
        assert "once the campaign has ended" in owner_client.get(answer.location).text
    assert state_of(campaign_id) == "sending"


@pytest.mark.parametrize("action", ["leave", "send-again", "retry-failed", "send-rest"])
def test_an_action_that_concerns_nobody_says_so(owner_client: FlaskClient, action: str) -> None:
    campaign_id = ended(3)
    answer = owner_client.get(f"/campaigns/{campaign_id}/after/{action}")
    assert answer.status_code == 303
    assert re.search("There is nobody", owner_client.get(answer.location).text)


def test_only_those_who_may_launch_see_and_do_it(app: Flask, owner_client: FlaskClient) -> None:
    campaign_id = ended(4, LOST, GAVE_UP)
    editor = log_in(app, make_user("ed@example.com", role="editor", password=True, language="en"))
    report = editor.get(f"/campaigns/{campaign_id}/report").text
    assert "/uncertain" not in report
    assert "/after/" not in report
    for path in ("uncertain", "after/leave", "uncertain/1/send-again", "launch-late"):
        assert editor.get(f"/campaigns/{campaign_id}/{path}").status_code == 403


def missed_schedule() -> tuple[int, Any]:
    """Schedule a campaign; returns it with a moment at which it is too late."""
    campaign_id = make_campaign(subject="November")
    at = utcnow() + timedelta(minutes=6)
    launch.launch_at(campaign_id, by=None, launch_key="k", at=at, zone="Asia/Seoul", not_after=timedelta(minutes=10))
    return campaign_id, at + timedelta(minutes=11)


def test_a_missed_schedule_can_be_launched_now_with_the_number_typed(
    owner_client: FlaskClient, send: Callable[[], None], sink: Any
) -> None:
    make_users(49)
    campaign_id, late = missed_schedule()
    with clock.freeze(late):
        send()
        progress = owner_client.get(f"/campaigns/{campaign_id}/progress").text
        assert f'href="/campaigns/{campaign_id}/launch-late"' in progress
        assert "Back to draft" in progress
        path = f"/campaigns/{campaign_id}/launch-late"
        assert "50 people get this mail" in text(owner_client.get(path).text)
        refused = submit(owner_client, path, {"confirm": "49", "counted": "48"})
        assert refused.status_code == 422
        assert "To confirm, type 50," in refused.text
        assert state_of(campaign_id) == "scheduled"
        assert submit(owner_client, path, {"confirm": "50"}).status_code == 303
        assert state_of(campaign_id) == "starting"
        again = owner_client.get(path)
        assert again.status_code == 303, "it is launched"
        send()
    assert len(sink.mails) == 50


def test_a_missed_schedule_can_be_taken_back_to_its_draft(owner_client: FlaskClient) -> None:
    campaign_id, late = missed_schedule()
    with clock.freeze(late):
        submit(owner_client, f"/campaigns/{campaign_id}/progress", {}, action=f"/campaigns/{campaign_id}/take-back")
    assert state_of(campaign_id) == "draft"


def test_a_schedule_in_time_has_no_late_launch(owner_client: FlaskClient) -> None:
    campaign_id, _late = missed_schedule()
    assert owner_client.get(f"/campaigns/{campaign_id}/launch-late").status_code == 303
    assert "launch-late" not in owner_client.get(f"/campaigns/{campaign_id}/progress").text


def test_a_late_launch_whose_audience_has_changed_is_shown_anew(owner_client: FlaskClient) -> None:
    campaign_id, late = missed_schedule()
    with clock.freeze(late):
        page = owner_client.get(f"/campaigns/{campaign_id}/launch-late")
        fields = next(f["fields"] for f in forms_of(page.text) if "counted" in f["fields"])
        make_users(20)
        answer = owner_client.post(f"/campaigns/{campaign_id}/launch-late", data=fields)
    assert answer.status_code == 422
    assert "it went from 1 to 21" in answer.text
    assert state_of(campaign_id) == "scheduled"


def test_a_row_that_waits_again_has_nothing_left_of_its_settlement(owner_client: FlaskClient) -> None:
    campaign_id = ended(3, LOST)
    path = f"/campaigns/{campaign_id}/uncertain/1/send-again"
    submit(owner_client, path, {}, action=path)
    db.session.rollback()
    row = db.session.execute(select(Delivery).where(Delivery.campaign_id == campaign_id, Delivery.position == 1))
    waiting = row.scalar_one()
    assert (waiting.state, waiting.reason, waiting.settled_at, waiting.token) == ("waiting", None, None, None)
