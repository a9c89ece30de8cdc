"""A test goes to up to ten addresses of any kind, and says what came of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from campaigns.clock import freeze, utcnow
from campaigns.compose.forms import split_addresses
from campaigns.compose.models import Campaign
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from tests.pages import submit
from tests.parts import RedisServer
from tests.people import log_in, make_user
from tests.smtp_sink import Sink

MakeCampaign = Callable[..., Campaign]
RunQueued = Callable[..., list[str]]


def send_test(client: FlaskClient, campaign: Campaign, addresses: str, **fields: str) -> TestResponse:
    return submit(client, f"/campaigns/{campaign.id}/test", {"addresses": addresses, **fields})


def test_each_address_gets_its_own_mail(
    owner_client: FlaskClient, draft: Campaign, sink: Sink, run_queued: RunQueued
) -> None:
    response = send_test(owner_client, draft, "a@example.com, b@example.com")
    assert response.status_code == 303
    assert run_queued() == ["mail.send_mail"] * 2
    mails = [mail.message for mail in sink.mails]
    assert sorted(str(mail["To"]) for mail in mails) == ["a@example.com", "b@example.com"]
    assert {str(mail["Subject"]) for mail in mails} == {"[테스트] 11월 소식"}
    assert "우편함" in str(mails[0]["From"])
    page = owner_client.get(response.location, headers={"Accept-Language": "en"}).text
    assert page.count("Accepted") == 2
    assert "hx-get" not in page.split('id="test-results"')[1][:300], "settled results are not polled"


def test_a_refused_address_is_shown_with_what_the_server_said(
    owner_client: FlaskClient, draft: Campaign, sink: Sink, run_queued: RunQueued
) -> None:
    sink.refusals["gone@example.com"] = "550 5.1.1 No such user here"
    response = send_test(owner_client, draft, "gone@example.com, a@example.com")
    run_queued()
    page = owner_client.get(response.location, headers={"Accept-Language": "en"}).text
    assert "Refused" in page
    assert "No such user here" in page
    assert page.count("Accepted") == 1


def test_a_test_waits_in_the_outbox_while_the_queue_is_away(
    owner_client: FlaskClient, draft: Campaign, redis_server: RedisServer
) -> None:
    redis_server.kill()
    try:
        response = send_test(owner_client, draft, "a@example.com")
    finally:
        redis_server.start()
    assert response.status_code == 303
    assert db.session.scalars(select(OutboxMail.state)).all() == ["waiting"]


def test_the_unsubscribe_link_of_a_test_does_nothing(
    owner_client: FlaskClient, draft: Campaign, sink: Sink, run_queued: RunQueued
) -> None:
    send_test(owner_client, draft, "a@example.com")
    run_queued()
    mail = sink.mails[0]
    assert "/p/test-link" in mail.html
    assert "/p/test-link" in mail.text
    assert mail.message["List-Unsubscribe"] is None


def test_users_get_their_own_values_and_others_the_chosen_ones(
    owner_client: FlaskClient, draft: Campaign, sink: Sink, run_queued: RunQueued
) -> None:
    make_user("kim@example.com", name="김나라")
    make_user("lee@example.com", name="이바다")
    send_test(owner_client, draft, "kim@example.com\nnobody@example.org", person="lee@example.com")
    run_queued()
    bodies = {mail.recipient: mail.html for mail in sink.mails}
    assert "김나라님" in bodies["kim@example.com"]
    assert "이바다님" in bodies["nobody@example.org"]


def test_it_is_remembered_which_version_was_tested(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(version=4)
    send_test(owner_client, campaign, "a@example.com")
    db.session.expire_all()
    assert db.session.get_one(Campaign, campaign.id).tested_version == 4


@pytest.mark.parametrize(
    "addresses",
    ["", "no address", "a@example.com\nb@", "a@exa mple.com", " ".join(f"a{n}@example.com" for n in range(11))],
)
def test_bad_or_too_many_addresses_send_nothing(owner_client: FlaskClient, draft: Campaign, addresses: str) -> None:
    response = send_test(owner_client, draft, addresses)
    assert response.status_code == 422
    assert db.session.scalars(select(OutboxMail)).all() == []


def test_a_draft_with_mistakes_is_not_sent(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    response = send_test(owner_client, make_campaign(body="{{ nmae }}"), "a@example.com")
    assert response.status_code == 422
    assert db.session.scalars(select(OutboxMail)).all() == []


def test_an_unknown_person_is_refused(owner_client: FlaskClient, draft: Campaign) -> None:
    assert send_test(owner_client, draft, "a@example.com", person="who@example.com").status_code == 422


def test_somebody_who_may_not_see_people_cannot_choose_one(app: Flask, draft: Campaign) -> None:
    make_user("lee@example.com", name="이바다")
    editor = log_in(app, make_user("edit@example.com", role="editor", password=True))
    page = editor.get(f"/campaigns/{draft.id}/test").text
    assert 'name="person"' not in page
    assert send_test(editor, draft, "a@example.com", person="lee@example.com").status_code == 422


def test_more_than_five_a_minute_are_refused(owner_client: FlaskClient, draft: Campaign) -> None:
    answers = [send_test(owner_client, draft, "a@example.com").status_code for _ in range(6)]
    assert answers == [303] * 5 + [429]


def test_results_of_another_campaign_are_not_shown(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    mine, other = make_campaign(), make_campaign()
    group = send_test(owner_client, mine, "hidden@example.com").location.split("group=")[1]
    assert "hidden@example.com" in owner_client.get(f"/campaigns/{mine.id}/test/results?group={group}").text
    assert "hidden@example.com" not in owner_client.get(f"/campaigns/{other.id}/test/results?group={group}").text


def test_waiting_results_are_polled(owner_client: FlaskClient, draft: Campaign) -> None:
    response = send_test(owner_client, draft, "a@example.com")
    assert "hx-get" in owner_client.get(response.location).text.split('id="test-results"')[1][:400]


def test_results_that_no_worker_takes_up_say_so_and_the_page_refreshes_without_scripts(
    owner_client: FlaskClient, draft: Campaign, sink: Sink, run_queued: RunQueued
) -> None:
    page = send_test(owner_client, draft, "kim@example.com").location
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in owner_client.get(page).text
    late = "아직 맡은 작업자가 없습니다."
    assert late not in owner_client.get(page).text
    with freeze(utcnow() + timedelta(seconds=11)):
        assert late in owner_client.get(page).text
        run_queued()
        db.session.expire_all()
        shown = owner_client.get(page).text
    assert "http-equiv" not in shown
    assert late not in shown


def test_a_campaign_deleted_meanwhile_sends_no_test(
    owner_client: FlaskClient, draft: Campaign, sink: Sink, run_queued: RunQueued
) -> None:
    send_test(owner_client, draft, "a@example.com")
    db.session.delete(db.session.get_one(Campaign, draft.id))
    db.session.commit()
    run_queued()
    assert sink.mails == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@x.test b@x.test", ["a@x.test", "b@x.test"]),
        ("a@x.test;\n b@x.test,,a@x.test", ["a@x.test", "b@x.test"]),
        ("김하늘 <a@x.test>, b@x.test", ["a@x.test", "b@x.test"]),
    ],
)
def test_addresses_may_be_separated_in_any_usual_way(text: str, expected: list[str]) -> None:
    assert split_addresses(text) == expected
