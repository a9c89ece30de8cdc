"""What a measure does inside an installation, each a process of its own: `python -m bench.inside launch plain`.

The answer is one JSON object on standard output.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time

import click
from sqlalchemy import update

from app import create_app
from bench.content import BODY, SUBJECT, plain_content
from campaigns.audience.fields import remember_fields
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import freeze, states
from campaigns.delivery.freeze import count_audience
from campaigns.delivery.launch import compile_for_launch, launch_now
from campaigns.delivery.tasks import end_hold
from campaigns.extensions import db
from campaigns.ops.tasks import beat_tick


@click.group()
def inside() -> None:
    """Do something in the installation that the environment names."""


@inside.command()
@click.argument("layout", type=click.Choice(["plain", "site"]))
def launch(layout: str) -> None:
    """Launch a campaign to everybody, without a hold; "plain" leaves the site's layout off the mail.

    To put another content in place is nothing that a launch does, so that time is not counted.
    """
    with create_app().app_context():
        campaign_id = make_campaign()
        look_before_launch(campaign_id)
        launched_at = utcnow()
        launch_without_hold(campaign_id)
        is_launched_at = utcnow()
        if layout == "plain":
            put_in_plain_content(campaign_id)
            launched_at += utcnow() - is_launched_at
        enqueue(end_hold, campaign_id)
    answer(campaign=campaign_id, launched_at=launched_at.isoformat())
    sys.stdout.flush()
    os._exit(0)  # tidying up takes a tenth of a second of a core that the senders need; a web site goes on


@inside.command("freeze")
def time_freeze() -> None:
    """Launch a campaign and freeze its audience here and now; tell the seconds, with the commit."""
    with create_app().app_context():
        campaign_id = make_campaign()
        launch_without_hold(campaign_id)
        put_in_plain_content(campaign_id)
        began = time.perf_counter()
        states.begin_preparing(campaign_id)
        audience = freeze.freeze_audience(campaign_id)
        seconds = time.perf_counter() - began
        assert audience
        answer(recipients=audience.recipients, seconds=seconds)


def make_campaign() -> int:
    """Add the draft, and let the site know of the fields it asks for."""
    remember_fields(["city", "plan"])
    campaign = Campaign(subject=SUBJECT, body=BODY)
    db.session.add(campaign)
    db.session.commit()
    return campaign.id


def look_before_launch(campaign_id: int) -> None:
    """Do what the launch page does before somebody launches: compile the draft, and count who would get it.

    And publish a task, beat's own: the first of a process takes a hundredth of a second longer than all that follow.
    """
    enqueue(beat_tick)
    compile_for_launch(db.session.get_one(Campaign, campaign_id))
    count_audience()
    db.session.rollback()


def launch_without_hold(campaign_id: int) -> None:
    """Launch the draft."""
    launch_now(campaign_id, by=None, launch_key=secrets.token_hex(8), hold_seconds=0)


def put_in_plain_content(campaign_id: int) -> None:
    """Put the content that all ways send in place of what was compiled."""
    content = plain_content().to_json()
    db.session.execute(update(Campaign).where(Campaign.id == campaign_id).values(compiled=content))
    db.session.commit()


def answer(**values: object) -> None:
    """Give the answer."""
    click.echo(json.dumps(values))


if __name__ == "__main__":
    inside()
