"""One person's page: each rule, the attempts, the server's words, and what its log can be searched for."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from campaigns.audience.models import Suppression
from campaigns.clock import utcnow
from campaigns.delivery import rounds, states
from campaigns.delivery.models import Batch
from campaigns.delivery.reconcile import cancel_rest
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.people import make_user, make_users
from tests.reports.ledgers import LATER, LOST, NO_USER, SKIPPED, Outcome, forget_user, settle_batch

pytestmark = pytest.mark.both_databases


def words(client: FlaskClient, campaign_id: int, position: int) -> str:
    answer = client.get(f"/campaigns/{campaign_id}/report/people/{position}")
    assert answer.status_code == 200
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", answer.text).split()))


@pytest.fixture
def ended(owner_client: FlaskClient) -> int:
    """Five recipients: unknown, uncertain, skipped, to be tried again, taken; three left out, one for each reason."""
    make_users(4)
    make_user("gone@example.org", unsubscribed_at=utcnow())
    make_user("new@example.org", verified=False)
    make_user("bad@example.org", verified=False, unsubscribed_at=utcnow())
    db.session.add(Suppression(address_key="bad@example.org", reason="hard_bounce"))
    db.session.commit()
    campaign_id = launch_and_freeze(subject="November")
    settle_batch(campaign_id, 1, NO_USER, LOST, SKIPPED, LATER)
    return campaign_id


def test_a_refused_person_passed_every_rule_and_was_refused_in_the_servers_words(
    owner_client: FlaskClient, ended: int
) -> None:
    page = words(owner_client, ended, 1)
    assert "The mail was permanently refused and will not be tried again. No such address." in page
    assert "On the suppression list No No No" in page
    assert "Has not confirmed the address No — No" in page
    assert "Deleted since the launch — No No" in page
    assert "Failed No such address 550 5.1.1 <ada@example.com>: user unknown" in page


@pytest.mark.parametrize(
    ("position", "address", "rows"),
    [
        (6, "gone@example.org", ["Unsubscribed Decided Yes, so nothing was sent Not checked Yes, since",
                                 "On the suppression list No Not checked No", "the address Not checked — No"]),
        (7, "new@example.org", ["confirmed the address Decided Yes, so nothing was sent — Yes",
                                "Unsubscribed No Not checked No"]),
        (8, "bad@example.org", ["On the suppression list Decided Yes, so nothing was sent Not checked Yes, since",
                                "(permanently refused before)", "Unsubscribed Not checked Not checked Yes, since"]),
    ],
)  # fmt: skip
def test_who_was_left_out_sees_which_rule_decided_and_which_were_not_asked(
    owner_client: FlaskClient, ended: int, position: int, address: str, rows: list[str]
) -> None:
    page = words(owner_client, ended, position)
    assert address in page
    assert "This person was left out when the campaign started." in page
    for row in rows:
        assert row in page
    assert "Message-ID" not in page, "no mail was made"


def test_who_was_skipped_passed_the_count_and_not_the_turn(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, ended, 3)
    assert "Unsubscribed Decided No Yes, so nothing was sent" in page
    assert "Deleted since the launch — No" in page


def test_who_waits_for_another_try_sees_when(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, ended, 4)
    assert re.search(r"Next try \d", page)
    assert "451 4.7.1 try again later" in page


def test_who_has_not_been_tried_sees_that_the_rules_of_the_turn_are_still_to_come(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    assert "Unsubscribed No Not checked yet No" in words(owner_client, campaign_id, 1)
    states.cancel(campaign_id)
    cancel_rest(campaign_id)
    assert "Unsubscribed No Not checked No" in words(owner_client, campaign_id, 1)


def test_who_failed_for_a_time_only_is_told_so(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, Outcome("failed", "greylisted", "451 4.7.1 try again later"))
    page = words(owner_client, campaign_id, 1)
    assert "temporarily refused until the time for trying again was up" in page
    assert "for good" not in page


def test_the_message_id_is_the_one_that_was_sent(owner_client: FlaskClient, sink: Any) -> None:
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    (mail,) = sink.mails
    assert mail.message["Message-ID"] in words(owner_client, campaign_id, 1)


def test_names_the_batch_and_its_worker(owner_client: FlaskClient, ended: int) -> None:
    db.session.get_one(Batch, (ended, 1)).last_error = "421 closing"
    db.session.commit()
    page = words(owner_client, ended, 5)
    assert "Batch 1 Last worker of the batch test:1 Times the batch was taken 1 Last error of the batch 421" in page


def test_a_deleted_user_stays_known_by_the_address_that_was_sent_to(owner_client: FlaskClient, ended: int) -> None:
    forget_user(ended, 5)
    page = words(owner_client, ended, 5)
    assert "person4@example.com" in page
    assert "Not known: the user was deleted" in page
    assert "Deleted since the launch — No Yes" in page


def test_an_uncertain_person_can_be_decided_on_from_the_page(owner_client: FlaskClient, ended: int) -> None:
    page = owner_client.get(f"/campaigns/{ended}/report/people/2").text
    assert f'action="/campaigns/{ended}/uncertain/2/leave"' in page
    assert f'href="/campaigns/{ended}/uncertain/2/send-again"' in page


def test_only_those_who_may_see_people_see_the_page(viewer_client: FlaskClient, ended: int) -> None:
    assert viewer_client.get(f"/campaigns/{ended}/report/people/1").status_code == 403
    assert f"/campaigns/{ended}/report/people/1" not in viewer_client.get(f"/campaigns/{ended}/report/people").text


def test_the_lists_of_people_lead_to_it(owner_client: FlaskClient, ended: int) -> None:
    rounds.finish(ended)
    for path in ("/people", "/people?q=person1@example.com", ""):
        assert f"/campaigns/{ended}/report/people/2" in owner_client.get(f"/campaigns/{ended}/report{path}").text
    assert owner_client.get(f"/campaigns/{ended}/report/people/99").status_code == 404
