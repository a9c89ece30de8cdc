"""Campaigns and single mails for tests, through the real functions, and the mail servers that they go over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Flask

from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import freeze, launch, rounds, sending, states
from campaigns.delivery.tasks import end_hold
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.mail_server_urls import read_mail_servers
from tests.parts import wait_until
from tests.people import make_user
from tests.smtp_sink import Sink

BODY = '안녕하세요 {{ name | default: "고객" }}님,\n\n이번 달 소식입니다. [자세히](https://example.com/news)\n'
# A process that sends one batch at a time.
SENDER = ("celery", "-A", "celery_worker", "worker", "-Q", "mail.bulk", "-P", "threads", "-c", "1", "-n", "bulk@%h")


def make_campaign(**overrides: Any) -> int:
    """Add a draft and return its id."""
    campaign = Campaign(**{"subject": '{{ name | default: "고객" }}님, 11월 소식', "body": BODY, **overrides})
    db.session.add(campaign)
    db.session.commit()
    return campaign.id


def launch_for_workers() -> int:
    """Launch a new campaign without a hold, for workers that run; returns its id."""
    campaign_id = make_campaign()
    launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=0)
    enqueue(end_hold, campaign_id)
    return campaign_id


def has_ended(campaign_id: int) -> bool:
    """Tell whether a campaign has been sent or cancelled, by processes beside the test."""
    db.session.rollback()
    return states.state_of(campaign_id) in {"sent", "cancelled"}


def launch_and_freeze(**overrides: Any) -> int:
    """Launch a new campaign without a hold and freeze it; returns its id."""
    campaign_id = make_campaign(**overrides)
    launch.launch_now(campaign_id, by=None, launch_key=f"key-{campaign_id}", hold_seconds=0)
    assert states.begin_preparing(campaign_id)
    assert freeze.freeze_audience(campaign_id)
    return campaign_id


def send_round(campaign_id: int) -> rounds.Progress:
    """Send one round in this process, batch by batch, and finish it."""
    planned = rounds.plan_round(campaign_id)
    for number in planned.batches if planned else ():
        sending.send_batch(campaign_id, number)
    return rounds.finish(campaign_id)


def send_in_thread(app: Flask, campaign_id: int) -> threading.Thread:
    """Send the first batch beside the test, which changes something meanwhile."""

    def run() -> None:
        with app.app_context():
            sending.send_batch(campaign_id, 1)
            db.session.remove()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def send_until(app: Flask, campaign_id: int, condition: Callable[[], Any]) -> threading.Thread:
    """Send the first batch beside the test, and return once the condition holds."""
    thread = send_in_thread(app, campaign_id)
    wait_until(condition)
    return thread


def pause_after(app: Flask, sink: Sink, campaign_id: int, mails: int) -> None:
    """Send the first batch slowly, pause when more than so many mails have arrived, and wait for its end."""
    sink.pause_seconds = 0.01
    thread = send_until(app, campaign_id, lambda: len(sink.mails) > mails)
    states.pause(campaign_id)
    thread.join(timeout=60)


def queue_single_mail() -> int:
    """Put a mail to kim@example.com into the outbox; returns its id."""
    user = make_user("kim@example.com", name="Kim")
    mail = queue_mail(
        kind="password_changed", to_address=user.email, language="en", expires_at=utcnow() + timedelta(hours=1),
        context={"user_id": user.id},
    )  # fmt: skip
    db.session.commit()
    return mail.id


def send_over(app: Flask, addresses: str, **changes: Any) -> None:
    """Let the application send over these mail servers from now on, with other settings changed too."""
    changes = {"mail_server": "", "mail_servers": read_mail_servers(addresses), **changes}
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], **changes)
