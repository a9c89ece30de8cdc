"""Campaigns for tests, launched through the real functions."""

from __future__ import annotations

from typing import Any

from campaigns.compose.models import Campaign
from campaigns.delivery import freeze, launch, rounds, sending, states
from campaigns.extensions import db

BODY = '안녕하세요 {{ name | default: "고객" }}님,\n\n이번 달 소식입니다. [자세히](https://example.com/news)\n'


def make_campaign(**overrides: Any) -> int:
    """Add a draft and return its id."""
    campaign = Campaign(**{"subject": '{{ name | default: "고객" }}님, 11월 소식', "body": BODY, **overrides})
    db.session.add(campaign)
    db.session.commit()
    return campaign.id


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
