"""The steps on one person's page: counted, each try with the server's words, each decision, and how it stands."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from campaigns.audience.services import delete_user
from campaigns.clock import freeze, utcnow
from campaigns.delivery import ledger, reopening, states
from campaigns.delivery.models import Delivery
from campaigns.delivery.reconcile import cancel_rest, reconcile
from campaigns.delivery.reopening import Rest
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.pages import submit
from tests.people import make_users
from tests.reports.ledgers import LATER, settle_batch

pytestmark = pytest.mark.both_databases


def steps(client: FlaskClient, campaign_id: int, position: int) -> list[str]:
    page = client.get(f"/campaigns/{campaign_id}/report/people/{position}").text
    table = re.search(r'id="steps".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert table, page
    rows = table[1].split("</tr>")[:-1]
    return [unescape(" ".join(re.sub(r"<[^>]+>", " ", row).split())) for row in rows]


def assert_steps(found: list[str], *expected: str) -> None:
    assert len(found) == len(expected), found
    for step, words in zip(found, expected, strict=True):
        assert re.search(words, step), (words, found)


def test_tries_stand_in_order_with_server_step_words_and_next_try(owner_client: FlaskClient, sink: Any) -> None:
    sink.refusals["ada@example.com"] = "451 4.7.1 Greylisted, come back later"
    campaign_id, moment = launch_and_freeze(), utcnow()
    send_round(campaign_id)
    first = (
        rf"Attempt 1: temporarily refused Deferred by.*Mail server 127\.0\.0\.1:{sink.port}, at this step: "
        r"the recipient \(RCPT\) · Worker \S+:\d+ Next try \w.* 451 4\.7\.1 Greylisted, come back later"
    )
    assert_steps(
        steps(owner_client, campaign_id, 1), "Counted among the recipients Recipient 1", first, "Next try .* Now$"
    )
    sink.refusals.clear()
    with freeze(moment + timedelta(minutes=2)):
        reconcile(broker_is_empty=True)
        send_round(campaign_id)
    assert_steps(
        steps(owner_client, campaign_id, 1), "Counted", first, r"Sent Attempt 2: accepted by the mail server 250 ",
    )  # fmt: skip


def test_a_pause_a_cancel_and_the_rest_are_told_to_who_waited_and_to_nobody_else(
    owner_client: FlaskClient, sink: Any
) -> None:
    make_users(5)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="w", lease_for=timedelta(minutes=1))
    assert lease
    ledger.settle_and_release(lease, ())
    settle_batch(campaign_id, 1)
    states.pause(campaign_id)
    assert_steps(
        steps(owner_client, campaign_id, 6), "Counted", "The campaign was paused", "Waiting until the campaign"
    )
    states.resume(campaign_id)
    states.cancel(campaign_id)
    cancel_rest(campaign_id)
    told = ["Counted", "was paused .*By: Command line", "went on", "was cancelled for those who still waited"]
    assert_steps(steps(owner_client, campaign_id, 6), *told, "Cancelled before it was this mail's turn")
    reopening.reopen(campaign_id, Rest.CANCELLED)
    reopening.return_rows(campaign_id, Rest.CANCELLED)
    send_round(campaign_id)
    assert_steps(steps(owner_client, campaign_id, 6), *told, "queued again", "went on", "Attempt 1: accepted")
    assert_steps(steps(owner_client, campaign_id, 1), "Counted", "accepted by the mail server")


def test_a_decision_is_told_with_who_made_it(owner_client: FlaskClient, sink: Any) -> None:
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="host:7", lease_for=timedelta(seconds=30))
    assert lease
    ledger.settle_and_claim(lease, (), size=1, lease_for=timedelta(seconds=30))
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
        lost = "Attempt 1: handed over, and the answer is not known The sending process ended .*Worker host:7"
        assert_steps(steps(owner_client, campaign_id, 1), "Counted", lost, "A person has to decide")
        page = f"/campaigns/{campaign_id}/uncertain"
        submit(owner_client, page, {}, action=f"{page}/1/leave")
        left = "Somebody decided to leave it as it is: not certain By: ada@example.com"
        assert_steps(steps(owner_client, campaign_id, 1), "Counted", lost, left)


def test_what_is_too_old_to_be_known_is_said_and_the_last_answer_stays(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    settle_batch(campaign_id, 1, LATER)
    db.session.get_one(Delivery, (campaign_id, 1)).attempts = 3
    db.session.commit()
    assert_steps(steps(owner_client, campaign_id, 1), "Counted", "Next try .*451 4.7.1 try again later Now$")
    assert (
        "Of 2 earlier tries nothing more is known" in owner_client.get(f"/campaigns/{campaign_id}/report/people/1").text
    )


def test_a_deleted_person_leaves_the_ledgers_answer_only(owner_client: FlaskClient, sink: Any) -> None:
    (person,) = make_users(1)
    sink.refusals[person.email] = "550 5.1.1 No such user"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert_steps(steps(owner_client, campaign_id, 2), "Counted", "Attempt 1: permanently refused.*RCPT.*550 5.1.1")
    delete_user(person.id, keep_out=False)
    assert_steps(
        steps(owner_client, campaign_id, 2), "Counted", "No such address — 550 5.1.1|No such address 550 5.1.1"
    )


def test_the_failures_count_every_try_though_the_mail_was_accepted_in_the_end(
    owner_client: FlaskClient, sink: Any
) -> None:
    campaign_id, moment = launch_and_freeze(), utcnow()
    for minutes, reply in ((0, "451 4.7.1 Greylisted"), (2, "451 4.7.1 Greylisted"), (9, "")):
        sink.refusals = {"ada@example.com": reply} if reply else {}
        with freeze(moment + timedelta(minutes=minutes)):
            reconcile(broker_is_empty=True)
            send_round(campaign_id)
    page = owner_client.get(f"/campaigns/{campaign_id}/report/failures").text
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "No mail was refused" not in words
    assert "Deferred by the receiving server Will retry 2 1 451 4.7.1 Greylisted" in words
    assert "Attempts are kept for 365 days." in words
