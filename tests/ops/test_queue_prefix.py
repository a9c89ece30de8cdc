"""Sites that share a broker: each has queues of its own."""

from __future__ import annotations

import pytest

from app import create_app
from campaigns.celery import BULK, LANES, lane_length
from campaigns.config import load_settings
from campaigns.delivery.tasks import send_batch
from campaigns.errors import SettingsError
from campaigns.ops.queues import read_queues


@pytest.fixture
def lengths(environ):
    """Return, for a site with the given prefix, how many messages its lane for campaigns holds, told in two ways."""

    def of(prefix: str, *, publish: bool = False) -> tuple[int | None, int]:
        app = create_app(load_settings({**environ, "QUEUE_PREFIX": prefix}))
        with app.app_context():
            if publish:
                send_batch.delay(1, 1)
            return lane_length(BULK), next(queue.length for queue in read_queues() if queue.lane == BULK)

    return of


def test_a_message_of_one_site_is_not_in_the_queues_of_another(lengths):
    assert lengths("first-", publish=True) == (1, 1)
    assert lengths("second-") == (0, 0)
    assert lengths("") == (0, 0)


def test_the_lanes_keep_their_names(environ):
    app = create_app(load_settings({**environ, "QUEUE_PREFIX": "first-"}))
    queues = app.extensions["celery"].amqp.queues
    assert {queues[lane].name for lane in LANES} == {f"first-{lane}" for lane in LANES}


def test_a_prefix_that_could_match_another_sites_messages_is_refused(environ):
    with pytest.raises(SettingsError, match="QUEUE_PREFIX"):
        load_settings({**environ, "QUEUE_PREFIX": "first."})
