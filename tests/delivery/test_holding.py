"""A mail server that refuses us holds the whole campaign once, however many batches were under way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import rounds, sending
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze
from tests.people import make_users

pytestmark = pytest.mark.both_databases


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "BATCH_SIZE": "2"}


def test_the_other_batches_of_a_round_neither_try_nor_make_the_pause_longer(app, sink):
    make_users(10)
    sink.stop()
    campaign_id = launch_and_freeze()
    planned = rounds.plan_round(campaign_id)
    ended = [sending.send_batch(campaign_id, number).ended for number in planned.batches]
    assert ended == ["trouble", *["nothing_to_do"] * 4]
    campaign = db.session.get(Campaign, campaign_id)
    assert campaign.trouble_tries == 1
    assert campaign.next_round_at <= utcnow() + timedelta(seconds=10)
    sink.start()
    with freeze(utcnow() + timedelta(seconds=11)):
        probe = rounds.plan_round(campaign_id)
        assert len(probe.batches) == 1
        sending.send_batch(campaign_id, probe.batches[0])
        for number in rounds.plan_round(campaign_id).batches:
            sending.send_batch(campaign_id, number)
        assert rounds.finish(campaign_id) is rounds.Progress.DONE
    assert len(sink.mails) == 10
