"""The dashboard: what needs attention first, then what is sending, what comes next, what was sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from campaigns import clock
from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.delivery import launch, rounds, states
from campaigns.reports import attention
from campaigns.reports.attention import Attention
from campaigns.security import Right
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.people import log_in, make_user, make_users
from tests.reports.ledgers import LOST, NO_USER, settle_batch


def words(client: FlaskClient, path: str = "/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def test_a_new_site_shows_five_steps_with_their_state(owner_client: FlaskClient) -> None:
    page = words(owner_client)
    assert "First steps" in page
    for step in (
        "Say who the mail is from",
        "Add your users",
        "Write the first campaign",
        "Send a test",
        "Launch it",
    ):
        assert step in page
    make_users(3)
    make_campaign()
    answer = owner_client.get("/").text
    assert answer.count('class="done"') == 2


def test_the_steps_go_once_something_was_launched(owner_client: FlaskClient) -> None:
    launch_and_freeze()
    assert "First steps" not in words(owner_client)


def test_what_needs_attention_comes_first(owner_client: FlaskClient) -> None:
    make_users(9)
    refused = launch_and_freeze(subject="Refused")
    states.note_trouble(refused, reason="auth_failed", reply="535 no", pause_seconds=40)
    states.pause(launch_and_freeze(subject="Stopped"))
    lost = launch_and_freeze(subject="Lost")
    settle_batch(lost, 1, LOST)
    page = words(owner_client)
    assert "3 things need attention" in page
    assert page.index("“Refused” is waiting for the mail server.") < page.index("“Stopped” is paused.")
    assert "Somebody paused it. 10 people have not got it yet." in page
    assert "“Lost”: it is not certain that everybody got it. 1 mail has no answer." in page
    assert page.index("3 things") < page.index("People who receive")


def test_a_missed_schedule_needs_attention(owner_client: FlaskClient) -> None:
    at = utcnow() + timedelta(minutes=6)
    campaign_id = make_campaign(subject="Late")
    launch.launch_at(campaign_id, by=None, launch_key="k", at=at, zone="UTC", not_after=timedelta(minutes=10))
    assert "Coming up" in words(owner_client)
    with clock.freeze(at + timedelta(minutes=11)):
        page = words(owner_client)
    assert "“Late” missed its time and was not sent." in page
    assert "Coming up" not in page


def test_other_areas_may_add_what_needs_attention(owner_client: FlaskClient, viewer_client: FlaskClient) -> None:
    def no_workers() -> Iterable[Attention]:
        yield Attention(text="No worker has been seen.", kind="bad", right=Right.SEE_JOBS)

    def broken() -> Iterable[Attention]:
        raise RuntimeError("out of order")

    before = list(attention._sources)
    attention.attention_source(no_workers)
    attention.attention_source(broken)
    try:
        assert "No worker has been seen." in words(owner_client)
        assert "No worker has been seen." not in words(viewer_client)
    finally:
        attention._sources[:] = before


def test_tiles_count_people_and_the_mails_of_thirty_days(owner_client: FlaskClient) -> None:
    make_users(9)
    make_user("gone@example.org", unsubscribed_at=utcnow())
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, NO_USER)
    settle_batch(campaign_id, 2)
    page = words(owner_client)
    assert "People who receive 10 1 left out" in page
    assert "Sent in 30 days 9" in page
    assert "Accepted by mail servers 90%" in page
    assert "Failed in 30 days 1" in page


def test_shows_what_is_sending_and_polls_it(owner_client: FlaskClient) -> None:
    make_users(9)
    campaign_id = launch_and_freeze(subject="November")
    settle_batch(campaign_id, 1)
    page = owner_client.get("/").text
    assert 'hx-get="/dashboard/running"' in page
    assert "5 / 10 · 50%" in words(owner_client, "/dashboard/running")
    settle_batch(campaign_id, 2)
    rounds.finish(campaign_id)
    after = owner_client.get("/").text
    assert "/dashboard/running" not in after
    assert "Last sent" in after


def test_people_without_a_role_are_sent_to_their_account(app: Flask, owner: User) -> None:
    client = log_in(app, make_user("mina@example.com", password=True))
    answer = client.get("/")
    assert (answer.status_code, answer.location) == (303, "/account")


def test_strangers_are_asked_to_log_in(client: FlaskClient, owner_client: FlaskClient) -> None:
    assert client.get("/").location.startswith("/login")
