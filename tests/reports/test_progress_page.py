"""The progress page: what it says in each state, that it adds up, and that polling it is cheap and quiet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, insert

from campaigns import clock
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery import launch, rounds, states
from campaigns.delivery.models import Batch, FrozenAudience
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.people import make_user, make_users
from tests.reports.ledgers import LATER, LOST, NO_USER, settle_batch


def page_of(client: FlaskClient, campaign_id: int) -> str:
    answer = client.get(f"/campaigns/{campaign_id}/progress")
    assert answer.status_code == 200
    return answer.text


def poll(client: FlaskClient, campaign_id: int, seen: str, **headers: str) -> Any:
    return client.get(f"/campaigns/{campaign_id}/progress/live?seen={seen}", headers={"HX-Request": "true", **headers})


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@contextmanager
def statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield seen
    event.remove(db.engine, "before_cursor_execute", note)


def test_the_hold_counts_down_and_can_be_taken_back(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    now = utcnow()
    with clock.freeze(now):
        launch.launch_now(campaign_id, by=None, launch_key="k", hold_seconds=60)
        assert "Sending starts in <b><span data-countdown>60</span> s" in page_of(owner_client, campaign_id)
    with clock.freeze(now + timedelta(seconds=25)):
        page = page_of(owner_client, campaign_id)
    assert "Sending starts in <b><span data-countdown>35</span> s" in page
    assert f'action="/campaigns/{campaign_id}/take-back"' in page


def test_a_missed_schedule_waits_for_a_person(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    at = utcnow() + timedelta(minutes=6)
    launch.launch_at(campaign_id, by=None, launch_key="k", at=at, zone="Asia/Seoul", not_after=timedelta(minutes=10))
    with clock.freeze(at + timedelta(minutes=11)):
        page = page_of(owner_client, campaign_id)
    assert "The time was missed" in page
    assert "Nothing was sent" in page


def test_shows_the_equation_and_that_it_balances(owner_client: FlaskClient) -> None:
    make_users(9)
    make_user("gone@example.com", unsubscribed_at=utcnow())
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, NO_USER, LATER)
    page = words(page_of(owner_client, campaign_id))
    assert "11 candidates = 1 left out + 10 recipients" in page
    assert (
        "10 recipients = 3 sent + 1 failed + 0 skipped + 0 cancelled + 0 not certain + 1 will retry + 0 on the way "
        "+ 5 waiting" in page
    )
    assert "It adds up: everybody is accounted for." in page


def test_says_so_when_the_numbers_do_not_add_up(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    db.session.get_one(FrozenAudience, campaign_id).recipients = 7
    db.session.commit()
    page = words(page_of(owner_client, campaign_id))
    assert "It does not add up" in page
    assert "It adds up" not in page


def test_refusals_are_grouped_by_reason_in_plain_words_with_the_code(owner_client: FlaskClient) -> None:
    make_users(9)
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, NO_USER, NO_USER, LATER)
    page = words(page_of(owner_client, campaign_id))
    assert "No such address (550 5.1.1) 2 Not tried again" in page
    assert "Deferred by the receiving server (451 4.7.1) 1 Will retry" in page


def test_says_why_the_mail_server_refuses_us_and_that_nobody_is_lost(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    states.note_trouble(campaign_id, reason="auth_failed", reply="535 5.7.8 bad password", pause_seconds=40)
    page = words(page_of(owner_client, campaign_id))
    assert "The mail server refused the log-in" in page
    assert "535 5.7.8 bad password" in page
    assert "Nobody is lost" in page


def test_names_a_pause_by_the_engine_in_plain_words(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    states.pause(campaign_id, reason="sender_refused: 553 not owned by user")
    assert "The mail server refuses the sender address: 553 not owned by user" in page_of(owner_client, campaign_id)


def test_the_title_shows_the_percentage_rounded_down(owner_client: FlaskClient) -> None:
    make_users(9)
    campaign_id = launch_and_freeze(subject="November")
    settle_batch(campaign_id, 1)
    page = page_of(owner_client, campaign_id)
    assert "<title>50% – November · Carillon</title>" in page
    assert 'data-title="50% – November"' in page
    assert 'data-milestone="50% done."' in page


def test_an_ended_campaign_is_not_polled_and_leads_to_its_report(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1)
    rounds.finish(campaign_id)
    page = page_of(owner_client, campaign_id)
    assert "hx-trigger" not in page
    assert "Sent to 1 person" in page
    assert f'href="/campaigns/{campaign_id}/report"' in page


@pytest.mark.parametrize(
    ("outcome", "headline"),
    [(NO_USER, "Sent to 9 people; 1 failed"), (LOST, "Sent; 1 mail has no answer")],
)
def test_an_end_with_failures_or_without_an_answer_says_so(
    owner_client: FlaskClient, outcome: Any, headline: str
) -> None:
    make_users(9)
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, outcome)
    settle_batch(campaign_id, 2)
    rounds.finish(campaign_id)
    assert headline in page_of(owner_client, campaign_id)


def test_polls_less_often_after_five_minutes_and_when_paused(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    assert 'hx-trigger="every 2s"' in page_of(owner_client, campaign_id)
    with clock.freeze(utcnow() + timedelta(minutes=6)):
        assert 'hx-trigger="every 5s"' in page_of(owner_client, campaign_id)
    states.pause(campaign_id)
    assert 'hx-trigger="every 10s"' in page_of(owner_client, campaign_id)


def test_a_poll_brings_new_buttons_only_when_the_state_has_changed(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    same = poll(owner_client, campaign_id, "sending").text
    assert "hx-swap-oob" not in same
    assert "<form" not in same
    states.pause(campaign_id)
    changed = poll(owner_client, campaign_id, "sending").text
    assert changed.count("hx-swap-oob") == 2
    assert "Continue sending" in changed


def test_an_unchanged_poll_is_answered_with_304(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    with clock.freeze(utcnow()):
        first = poll(owner_client, campaign_id, "sending")
        assert first.headers["Cache-Control"] == "private, no-cache"
        again = poll(owner_client, campaign_id, "sending", **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_poll_holds_nobody_s_address(owner_client: FlaskClient) -> None:
    make_users(9)
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, NO_USER, LATER, LOST)
    assert "person1@" not in poll(owner_client, campaign_id, "sending").text


@pytest.mark.both_databases
def test_a_poll_reads_batches_and_not_the_whole_ledger(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign(state=CampaignState.SENDING, frozen_at=utcnow(), launched_at=utcnow())
    add_batches(campaign_id, 2000)
    with statements() as seen:
        answer = poll(owner_client, campaign_id, "sending")
    assert "1,000,000 recipients" in words(answer.text)
    assert len(answer.data) < 20_000
    ledger_reads = [statement for statement in seen if "FROM delivery" in statement]
    assert all("BETWEEN" in statement for statement in ledger_reads)
    assert len(seen) < 20


def test_above_four_hundred_batches_a_square_is_several(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign(state=CampaignState.SENDING, frozen_at=utcnow(), launched_at=utcnow())
    add_batches(campaign_id, 2000)
    assert "One square is 5 batches." in page_of(owner_client, campaign_id)


def test_a_cancelled_campaign_is_polled_until_everybody_is_marked(owner_client: FlaskClient) -> None:
    make_users(9)
    campaign_id = launch_and_freeze()
    states.cancel(campaign_id)
    assert "hx-trigger" in page_of(owner_client, campaign_id)


def test_a_campaign_that_was_taken_back_says_that_nothing_was_sent(owner_client: FlaskClient) -> None:
    campaign_id = make_campaign()
    assert "Nothing was sent" in page_of(owner_client, campaign_id)


def test_batches_in_work_are_listed_with_worker_and_error(owner_client: FlaskClient) -> None:
    make_users(9)
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, LATER)
    batch = db.session.get_one(Batch, (campaign_id, 1))
    batch.last_error = "421 closing"
    db.session.commit()
    page = words(page_of(owner_client, campaign_id))
    assert "1 batch in work" in page
    assert "test:1" in page
    assert "421 closing" in page


def test_an_unknown_campaign_is_not_found(owner_client: FlaskClient) -> None:
    assert owner_client.get("/campaigns/999/progress").status_code == 404
    assert owner_client.get("/campaigns/999/progress/live").status_code == 404


def add_batches(campaign_id: int, count: int) -> None:
    size = 500
    db.session.add(
        FrozenAudience(
            campaign_id=campaign_id, candidates=count * size, excluded=0, recipients=count * size, frozen_at=utcnow()
        )
    )
    rows = [
        {
            "campaign_id": campaign_id,
            "number": number,
            "first_position": (number - 1) * size + 1,
            "last_position": number * size,
            "sent": size - 2 if number < 700 else 0,
            "failed": 2 if number < 700 else 0,
            "waiting": 0 if number < 700 else size,
        }
        for number in range(1, count + 1)
    ]
    db.session.execute(insert(Batch), rows)
    db.session.commit()
    assert db.session.get_one(Campaign, campaign_id).state == CampaignState.SENDING
