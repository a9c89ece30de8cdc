"""The launch page: the exact number, the confirmation, now or later, and one launch however often it is clicked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from campaigns import clock
from campaigns.accounts.models import User
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import load_settings
from campaigns.delivery import states
from campaigns.delivery.queries import campaign_totals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign, send_round
from tests.pages import forms_of, submit
from tests.people import log_in, make_user, make_users

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "CONFIRM_FROM": "20", "HOLD_SECONDS": "60", "BATCH_SIZE": "5"}


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


def campaign(campaign_id: int) -> Campaign:
    db.session.rollback()
    return db.session.get_one(Campaign, campaign_id)


def open_launch(client: FlaskClient, campaign_id: int) -> dict[str, Any]:
    """Open the page and return the launch form's fields as a browser would send them."""
    page = client.get(f"/campaigns/{campaign_id}/launch")
    assert page.status_code == 200
    return launch_fields(page)


def launch_fields(page: TestResponse) -> dict[str, Any]:
    return next(form["fields"] for form in forms_of(page.text) if "launch_key" in form["fields"])


def send_while_others_come(client: FlaskClient, campaign_id: int, newcomers: int, *, confirm: str) -> TestResponse:
    """Launch to the 26 people that the page showed, after some more have come; it must be refused."""
    make_users(25)
    fields = open_launch(client, campaign_id)
    make_users(newcomers, prefix="newcomer")
    answer = send(client, campaign_id, fields, confirm=confirm)
    assert answer.status_code == 422
    assert campaign(campaign_id).state == CampaignState.DRAFT
    return answer


def send(client: FlaskClient, campaign_id: int, fields: dict[str, Any], **changes: Any) -> TestResponse:
    return client.post(f"/campaigns/{campaign_id}/launch", data={**fields, **changes})


def at(day: str, time: str, zone: str = "Europe/Berlin", **more: str) -> dict[str, str]:
    return {"when": "later", "day": day, "clock": time, "zone": zone, **more}


def test_says_to_exactly_how_many_people_it_goes_and_who_is_left_out(owner_client: FlaskClient) -> None:
    make_users(3)
    make_user("gone@example.com", unsubscribed_at=clock.utcnow())
    make_user("new@example.com", verified=False)
    page = owner_client.get(f"/campaigns/{make_campaign()}/launch").text
    assert "Send to 4 people" in page
    assert "6 candidates = 2 left out + 4 recipients" in page
    assert "Unsubscribed" in page
    assert "Has not confirmed the address" in page


def test_launches_below_the_limit_with_a_plain_button(
    owner_client: FlaskClient, run_queued: Callable[..., Any]
) -> None:
    campaign_id = make_campaign()
    fields = open_launch(owner_client, campaign_id)
    assert "confirm" not in fields
    answer = send(owner_client, campaign_id, fields)
    assert (answer.status_code, answer.location) == (303, f"/campaigns/{campaign_id}/progress")
    assert campaign(campaign_id).state == CampaignState.STARTING
    assert campaign(campaign_id).hold_until is not None


def test_enqueues_the_end_of_the_hold(owner_client: FlaskClient, app: Flask) -> None:
    campaign_id = make_campaign()
    send(owner_client, campaign_id, open_launch(owner_client, campaign_id))
    with app.extensions["celery"].connection_for_read() as connection:
        assert connection.default_channel.client.llen("work") == 1


@pytest.mark.parametrize("typed", ["1,021", "1021", " 1 021 ", "１０２１", "1.021"])
def test_takes_the_number_as_people_write_it(owner_client: FlaskClient, typed: str) -> None:
    make_users(1020)
    campaign_id = make_campaign()
    answer = send(owner_client, campaign_id, open_launch(owner_client, campaign_id), confirm=typed)
    assert answer.status_code == 303


@pytest.mark.parametrize("typed", ["", "25", "twenty-six", "-26", "260"])
def test_a_wrong_number_says_what_to_type_and_launches_nothing(owner_client: FlaskClient, typed: str) -> None:
    make_users(25)
    campaign_id = make_campaign()
    answer = send(owner_client, campaign_id, open_launch(owner_client, campaign_id), confirm=typed)
    assert answer.status_code == 422
    assert "To confirm, type 26, the number of people." in answer.text
    assert campaign(campaign_id).state == CampaignState.DRAFT


def test_a_changed_audience_comes_back_with_the_new_number(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    answer = send_while_others_come(owner_client, campaign_id, 11, confirm="26")
    assert "it went from 26 to 37" in answer.text
    again = launch_fields(answer)
    assert (again["counted"], again["confirm"]) == ("37", "")
    assert send(owner_client, campaign_id, again, confirm="37").status_code == 303


def test_a_page_that_is_shown_again_shows_one_number_and_takes_it(owner_client: FlaskClient) -> None:
    """People come and go while somebody mistypes."""
    campaign_id = make_campaign()
    answer = send_while_others_come(owner_client, campaign_id, 3, confirm="25")
    assert "type the number of people: 29" in answer.text
    assert "To confirm, type 29, the number of people." in answer.text
    assert "26" not in answer.text.partition("<main")[2].partition('name="launch_key"')[0]
    assert send(owner_client, campaign_id, launch_fields(answer), confirm="29").status_code == 303


def test_ten_people_more_or_less_are_no_reason_to_ask_again(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    fields = open_launch(owner_client, campaign_id)
    make_users(10)
    assert send(owner_client, campaign_id, fields).status_code == 303


def test_a_double_click_launches_once_and_shows_the_same_page(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    fields = open_launch(owner_client, campaign_id)
    first, second = send(owner_client, campaign_id, fields), send(owner_client, campaign_id, fields)
    assert first.location == second.location == f"/campaigns/{campaign_id}/progress"
    page = owner_client.get(second.location).text
    assert page.count("Launched to 1 person") == 1
    assert "Somebody else" not in page


def test_a_page_left_open_tells_that_somebody_else_was_first(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    mine, theirs = open_launch(owner_client, campaign_id), open_launch(owner_client, campaign_id)
    send(owner_client, campaign_id, theirs)
    answer = send(owner_client, campaign_id, mine)
    assert "Somebody else has launched" in owner_client.get(answer.location).text


def test_a_blocked_campaign_has_no_button_and_cannot_be_posted(owner_client: FlaskClient) -> None:
    good = make_campaign()
    fields = open_launch(owner_client, good)
    blocked = make_campaign(body="Hello {{ nmae }}")
    page = owner_client.get(f"/campaigns/{blocked}/launch").text
    assert "This campaign cannot be sent yet" in page
    assert "launch_key" not in page
    answer = send(owner_client, blocked, fields)
    assert answer.status_code == 422
    assert campaign(blocked).state == CampaignState.DRAFT


def test_schedules_for_a_local_time(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    with clock.freeze(NOW):
        fields = open_launch(owner_client, campaign_id)
        answer = send(owner_client, campaign_id, fields, **at("2026-11-25", "10:00", "Asia/Seoul"))
        assert answer.status_code == 303
        page = owner_client.get(answer.location).text
    scheduled = campaign(campaign_id)
    assert scheduled.state == CampaignState.SCHEDULED
    assert scheduled.scheduled_at == datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
    assert scheduled.schedule_zone == "Asia/Seoul"
    assert "Starts Wed 25 Nov 2026, 10:00 Seoul (UTC+9)" in page
    assert "in 3 days" in page


@pytest.mark.parametrize(
    ("day", "time", "message"),
    [
        ("2026-11-22", "11:59", "That time has passed"),
        ("2026-11-22", "12:04", "That is too soon"),
        ("2028-01-01", "10:00", "more than a year away"),
        ("", "10:00", "Enter a date."),
        ("2026-11-25", "", "Enter a time."),
        ("25.11.2026", "10:00", "Enter the date as 2026-12-31"),
    ],
)
def test_refuses_times_that_cannot_be_meant(owner_client: FlaskClient, day: str, time: str, message: str) -> None:
    campaign_id = make_campaign()
    with clock.freeze(NOW):
        fields = open_launch(owner_client, campaign_id)
        answer = send(owner_client, campaign_id, fields, **at(day, time, "Asia/Seoul"))
    assert answer.status_code == 422
    assert message in answer.text
    assert campaign(campaign_id).state == CampaignState.DRAFT


def test_says_that_a_time_in_the_spring_gap_does_not_exist(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    with clock.freeze(NOW):
        fields = open_launch(owner_client, campaign_id)
        answer = send(owner_client, campaign_id, fields, **at("2027-03-28", "02:30"))
    assert answer.status_code == 422
    assert "There is no 02:30 on that day" in answer.text
    assert "Choose 03:30" in answer.text


def test_asks_which_of_two_times_is_meant_when_clocks_go_back(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    with clock.freeze(NOW):
        fields = open_launch(owner_client, campaign_id)
        answer = send(owner_client, campaign_id, fields, **at("2027-10-31", "02:30"))
        assert answer.status_code == 422
        assert "show 02:30 twice" in answer.text
        assert "The first one (UTC+2)" in answer.text
        answer = send(owner_client, campaign_id, fields, **at("2027-10-31", "02:30", which="1"))
    assert answer.status_code == 303
    assert campaign(campaign_id).scheduled_at == datetime(2027, 10, 31, 1, 30, tzinfo=UTC)


def test_says_what_the_chosen_time_means_before_anything_is_sent(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    with clock.freeze(NOW):
        said = owner_client.get(
            f"/campaigns/{campaign_id}/launch/when",
            query_string={"day": "2026-11-25", "clock": "10:00", "zone": "Asia/Seoul"},
        ).text
    assert "Wed 25 Nov 2026, 10:00 Seoul (UTC+9)" in said
    assert campaign(campaign_id).state == CampaignState.DRAFT


def test_taking_back_makes_it_a_draft_again(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    send(owner_client, campaign_id, open_launch(owner_client, campaign_id))
    answer = submit(
        owner_client, f"/campaigns/{campaign_id}/progress", {}, action=f"/campaigns/{campaign_id}/take-back"
    )
    assert answer.status_code == 303
    assert campaign(campaign_id).state == CampaignState.DRAFT
    assert "Nothing was sent" in owner_client.get(answer.location, follow_redirects=True).text


def test_taking_back_too_late_says_so(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    send(owner_client, campaign_id, open_launch(owner_client, campaign_id))
    fields = forms_of(owner_client.get(f"/campaigns/{campaign_id}/progress").text)
    taking_back = next(form for form in fields if form["action"].endswith("/take-back"))
    with clock.freeze(clock.utcnow() + timedelta(minutes=2)):
        assert states.begin_preparing(campaign_id)
        answer = owner_client.post(taking_back["action"], data=taking_back["fields"])
        assert "too late" in owner_client.get(answer.location).text
    assert campaign(campaign_id).state == CampaignState.PREPARING


def test_pauses_and_goes_on(owner_client: FlaskClient, app: Flask) -> None:
    make_users(12)
    campaign_id = launch_and_freeze()
    path = f"/campaigns/{campaign_id}/progress"
    submit(owner_client, path, {}, action=f"/campaigns/{campaign_id}/pause")
    assert campaign(campaign_id).state == CampaignState.PAUSED
    assert "Somebody paused it. 13 people have not got it yet." in owner_client.get(path).text
    submit(owner_client, path, {}, action=f"/campaigns/{campaign_id}/resume")
    assert campaign(campaign_id).state == CampaignState.SENDING
    assert "Sending goes on to 13 people" in owner_client.get(path).text


def test_cancelling_the_rest_asks_first_with_the_numbers(
    owner_client: FlaskClient, run_queued: Callable[..., list[str]]
) -> None:
    make_users(12)
    campaign_id = launch_and_freeze()
    page = owner_client.get(f"/campaigns/{campaign_id}/cancel").text
    assert "13 people have not got the mail and never will." in page
    answer = submit(owner_client, f"/campaigns/{campaign_id}/cancel", {}, action=f"/campaigns/{campaign_id}/cancel")
    assert answer.status_code == 303
    assert "delivery.cancel_rest" in run_queued("work")
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.cancelled, totals.balances) == ("cancelled", 13, True)
    assert "Cancelled after 0 mails" in owner_client.get(answer.location).text


def test_cancelling_for_more_than_a_thousand_asks_for_the_word(owner_client: FlaskClient) -> None:
    make_users(1000)
    campaign_id = launch_and_freeze()
    path = f"/campaigns/{campaign_id}/cancel"
    answer = submit(owner_client, path, {"word": "yes"})
    assert answer.status_code == 422
    assert "To cancel the rest, type cancel." in answer.text
    assert campaign(campaign_id).state == CampaignState.SENDING
    assert submit(owner_client, path, {"word": " Cancel "}).status_code == 303
    assert campaign(campaign_id).state == CampaignState.CANCELLED


def test_buttons_of_an_ended_campaign_do_no_harm(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    token = forms_of(owner_client.get("/").text)[0]["fields"]["csrf_token"]
    for verb in ("pause", "resume", "cancel", "take-back", "launch"):
        answer = owner_client.post(f"/campaigns/{campaign_id}/{verb}", data={"csrf_token": token})
        assert answer.location == f"/campaigns/{campaign_id}/progress", verb
    assert campaign(campaign_id).state == CampaignState.SENT


@pytest.mark.parametrize("role", ["editor", "viewer", None])
def test_only_people_who_may_launch_see_or_use_it(app: Flask, owner: User, role: str | None) -> None:
    campaign_id = launch_and_freeze()
    client = log_in(app, make_user("other@example.com", role=role, password=True, language="en"))
    token = forms_of(client.get("/account").text)[0]["fields"]["csrf_token"]
    assert client.get(f"/campaigns/{campaign_id}/launch").status_code == 403
    for verb in ("launch", "pause", "resume", "cancel", "take-back"):
        assert client.post(f"/campaigns/{campaign_id}/{verb}", data={"csrf_token": token}).status_code == 403
    assert campaign(campaign_id).state == CampaignState.SENDING
    page = client.get(f"/campaigns/{campaign_id}/progress")
    assert not re.search(r"/pause|/cancel", page.text)


def test_launches_while_redis_is_away(environ: dict[str, str], owner: User, tmp_path: Any) -> None:
    away = create_app(load_settings({**environ, "REDIS_URL": f"unix://{tmp_path}/nowhere.sock?db=0"}))
    campaign_id = make_campaign()
    client = log_in(away, owner)
    answer = send(client, campaign_id, open_launch(client, campaign_id))
    assert answer.status_code == 303
    assert campaign(campaign_id).state == CampaignState.STARTING
