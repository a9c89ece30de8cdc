"""What an answer does to the row: above all that a wish for fewer mails ends, whichever code it comes with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from campaigns.clock import utcnow
from campaigns.delivery.claims import Settlement
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.settlements import settlement_of
from campaigns.mail.replies import Phase
from campaigns.mail.smtp_envelope import outcome_of_reply
from campaigns.mail.smtp_wire import Reply

SLOW_DOWN = [Reply(450, "4.7.1 Too many messages for now"), Reply(421, "4.7.0 Too many messages, slow down")]


def settled(reply: Reply, *, hours_left: float) -> Settlement:
    give_up_at = utcnow() + timedelta(hours=hours_left)
    return settlement_of(outcome_of_reply(Phase.RCPT, reply), position=1, attempts=0, give_up_at=give_up_at)


@pytest.mark.parametrize("reply", SLOW_DOWN)
def test_who_has_to_wait_for_a_tired_domain_is_tried_again_later(reply: Reply) -> None:
    settlement = settled(reply, hours_left=24)
    assert (settlement.state, settlement.counts_as_attempt) == (DeliveryState.DEFERRED, True)
    assert settlement.next_attempt_at is not None
    assert settlement.next_attempt_at > utcnow()


@pytest.mark.parametrize("reply", SLOW_DOWN)
def test_a_domain_that_stays_tired_is_given_up_when_the_time_is_over(reply: Reply) -> None:
    assert settled(reply, hours_left=0).state is DeliveryState.FAILED


def test_a_server_that_closes_has_said_nothing_about_the_recipient() -> None:
    settlement = settled(Reply(421, "4.3.2 Service shutting down"), hours_left=0)
    assert (settlement.state, settlement.counts_as_attempt) == (DeliveryState.WAITING, False)
