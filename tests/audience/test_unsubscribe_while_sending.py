"""Whoever leaves while a campaign is on its way gets nothing of it any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from campaigns.accounts.models import User
from campaigns.audience.models import SuppressionReason
from campaigns.audience.services import delete_user, suppress_user
from campaigns.audience.unsubscribe_links import unsubscribe_token
from campaigns.config import current_settings
from campaigns.delivery.queries import campaign_totals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.people import make_users
from tests.smtp_sink import Sink


def by_the_link(user: User, app: Flask) -> None:
    token = unsubscribe_token(current_settings().secret_key, user.id, 1)
    assert (
        app.test_client(use_cookies=False).post(f"/p/u/{token}", data="List-Unsubscribe=One-Click").status_code == 200
    )


def by_suppression(user: User, app: Flask) -> None:
    suppress_user(user.id, SuppressionReason.COMPLAINT, detail="")


def by_deletion(user: User, app: Flask) -> None:
    with app.test_request_context():
        delete_user(user.id, keep_out=True)


@pytest.mark.both_databases
@pytest.mark.parametrize("leave", [by_the_link, by_suppression, by_deletion])
def test_who_leaves_after_the_launch_is_skipped(app: Flask, sink: Sink, leave: Callable[[User, Flask], None]) -> None:
    first, *_others = make_users(3)
    campaign_id = launch_and_freeze()
    leave(first, app)
    db.session.expire_all()
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.recipients, totals.sent, totals.skipped, totals.balances) == (3, 2, 1, True)
    assert sorted(mail.recipient for mail in sink.mails) == ["person2@example.com", "person3@example.com"]


def test_the_link_in_a_mail_that_was_sent_unsubscribes_its_reader(app: Flask, sink: Sink) -> None:
    (reader,) = make_users(1)
    send_round(launch_and_freeze())
    message = sink.mails[0].message
    link = message["List-Unsubscribe"].strip("<>")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = link.removeprefix(current_settings().public_base_url)
    answer = app.test_client(use_cookies=False).post(path, data="List-Unsubscribe=One-Click")
    assert answer.status_code == 200
    db.session.expire_all()
    assert db.session.get_one(User, reader.id).unsubscribed_at
