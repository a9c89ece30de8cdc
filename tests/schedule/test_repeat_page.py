"""The page on which a campaign is repeated, and how lists show what is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from campaigns.accounts.models import User
from campaigns.clock import freeze, utcnow
from campaigns.delivery import rounds
from campaigns.delivery.models import Occurrence, Recurrence, RecurrenceState
from campaigns.delivery.repeat_services import find_recurrence
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.pages import submit
from tests.people import log_in, make_user, make_users
from tests.reports.ledgers import LOST, NO_USER, settle_batch

DAILY = {"often": "daily", "clock": "10:00", "zone": "Asia/Seoul", "ends": "never"}


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


def save(client: FlaskClient, campaign_id: int, **fields: Any) -> Any:
    path = f"/campaigns/{campaign_id}/repeat"
    return submit(client, path, {**DAILY, **fields}, action=path, follow_redirects=True)


def rule_of(campaign_id: int) -> str | None:
    db.session.expire_all()
    recurrence = find_recurrence(campaign_id)
    return recurrence.rule if recurrence else None


@pytest.mark.parametrize(
    ("fields", "rule", "words"),
    [
        ({}, "0 10 * * *", "daily at 10:00"),
        ({"often": "weekdays", "clock": "08:30"}, "30 8 * * 1-5", "Monday to Friday at 08:30"),
        ({"often": "weekly", "days": ["4", "0"]}, "0 10 * * 0,4", "every Sunday, Thursday at 10:00"),
        ({"often": "monthly", "day_of_month": "L"}, "0 10 L * *", "on the last day of every month at 10:00"),
        ({"often": "own", "expression": "15 7 1 1,7 *", "clock": ""}, "15 7 1 1,7 *", "15 7 1 1,7 *"),
    ],
)
def test_each_choice_becomes_a_rule_and_is_said_in_words(
    owner_client: FlaskClient, fields: dict[str, Any], rule: str, words: str
) -> None:
    campaign_id = make_campaign()
    page = save(owner_client, campaign_id, **fields).text
    assert rule_of(campaign_id) == rule
    assert words in page
    assert page.count("Seoul (UTC+9)</li>") + page.count("Seoul (UTC+9)</b></li>") == 5
    # The form shows what was chosen, and saving it as it is changes nothing.
    save(owner_client, campaign_id, **fields)
    assert rule_of(campaign_id) == rule


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"often": "weekly", "days": []}, "Choose at least one day."),
        ({"clock": ""}, "Enter a time."),
        ({"often": "own", "expression": "*/5 * * * *"}, "once a day at most"),
        ({"often": "own", "expression": "0 25 * * *"}, "The second field, the hour"),
        ({"often": "own", "expression": "at ten"}, "five fields"),
        ({"ends": "until", "until": ""}, "Enter a date."),
        ({"ends": "until", "until": "2020-01-01"}, "No day is left"),
        ({"ends": "times", "times": "0"}, "Enter a number from 1"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    owner_client: FlaskClient, fields: dict[str, Any], error: str
) -> None:
    campaign_id = make_campaign()
    answer = save(owner_client, campaign_id, **fields)
    assert answer.status_code >= 400
    assert error in answer.text
    assert rule_of(campaign_id) is None


def test_the_buttons_do_what_they_say(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    save(owner_client, campaign_id, ends="times", times="3")
    path = f"/campaigns/{campaign_id}/repeat"
    for name, said in (
        ("skip", "The next date is skipped."),
        ("pause", "No copy goes out until you continue."),
        ("resume", "The repetition continues."),
        ("end", "No more copies go out"),
    ):
        answer = submit(owner_client, path, {}, action=f"{path}/{name}", follow_redirects=True)
        assert said in answer.text, name
    assert db.session.scalar(select(Recurrence.state)) == RecurrenceState.ENDED
    assert db.session.scalar(select(Recurrence.times_left)) == 3


def test_who_may_not_launch_may_not_repeat(app: Flask) -> None:
    campaign_id = make_campaign()
    editor = log_in(app, make_user("editor@example.com", role="editor", password=True))
    assert editor.get(f"/campaigns/{campaign_id}/repeat").status_code == 403


def test_dates_that_were_missed_are_on_the_dashboard(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign(subject="Weekly")
    save(owner_client, campaign_id)
    recurrence = find_recurrence(campaign_id)
    assert recurrence
    db.session.add(
        Occurrence(recurrence_id=recurrence.id, local_date=utcnow().date(), planned_at=utcnow(), state="missed")
    )
    db.session.commit()
    assert "“Weekly” did not go out on" in owner_client.get("/").text


def test_the_list_says_what_the_report_says(owner_client: FlaskClient) -> None:
    make_users(6)
    unsure, failed, running = (launch_and_freeze(subject=name) for name in ("Unsure", "Failed", "Running"))
    settle_batch(unsure, 1, LOST)
    settle_batch(failed, 1, NO_USER, NO_USER)
    for campaign_id in (unsure, failed):
        assert rounds.finish(campaign_id) is rounds.Progress.DONE
    repeated = make_campaign(subject="Repeated one")
    save(owner_client, repeated)
    page = " ".join(owner_client.get("/campaigns").text.split())
    for words in ("Needs review", "Sent with failures", "Sending", "Repeated"):
        assert words in page, words
    row = page[page.index(f'href="/campaigns/{running}/progress"') :][:900]
    assert ">7<" in row  # of seven recipients
    assert ">0<" in row  # none has been sent to


def test_the_list_asks_the_database_as_often_for_fifty_as_for_two(owner_client: FlaskClient) -> None:
    make_users(2)

    def queries() -> int:
        counted: list[str] = []
        db.session.remove()
        event.listen(db.engine, "before_cursor_execute", lambda *args: counted.append(args[2]))
        assert owner_client.get("/campaigns").status_code == 200
        return len(counted)

    with freeze(utcnow()):  # a visit is noted once a minute, which is a query too
        for _ in range(2):
            settle_batch(launch_and_freeze(), 1, LOST)
        queries()  # the first page after a log-in also looks up what is kept from then on
        few = queries()
        for _ in range(10):
            settle_batch(launch_and_freeze(), 1, LOST)
        # Stored settings are looked at now and then, which is one query.
        assert abs(queries() - few) <= 1
