"""The mail server away, silent after the final dot, or tired of one domain: nobody's attempt is burnt for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import func, select

from campaigns.audience.demo_users import add_demo_users
from campaigns.compose.models import Campaign
from campaigns.delivery.models import Batch, Delivery
from campaigns.delivery.rate_limit import shared_limiter
from campaigns.delivery.throttles import RECOVERY_SECONDS, Throttle
from campaigns.extensions import db
from campaigns.ops.drill_mischief import Mischief, Step
from campaigns.ops.drill_record import read_record
from tests.drill.harness import Experiment
from tests.people import make_user


def test_a_mail_server_that_is_away_holds_the_campaign_and_burns_nobodys_attempt(experiment: Experiment) -> None:
    """Away for four seconds, not for five minutes."""
    experiment.start()
    experiment.launch(600)
    experiment.wait_for_mails(100)
    experiment.stage.sink.refuse()
    experiment.wait_until(lambda: trouble_of(experiment.campaign_id), what="the campaign to be held")
    experiment.stage.watch(4)
    totals = experiment.totals()
    assert (totals.failed, totals.deferred, totals.balances) == (0, 0, True)
    experiment.wait_until(lambda: leases() == 0, seconds=20, what="the batches to be let go")
    experiment.stage.sink.listen()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert verdict.by_ledger.sent + len(verdict.uncertain) == 600
    most = db.session.scalar(select(func.max(Delivery.attempts)).where(Delivery.campaign_id == experiment.campaign_id))
    assert most == 1
    assert trouble_of(experiment.campaign_id) is None


def leases() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Batch).where(Batch.lease_token.is_not(None))) or 0


def trouble_of(campaign_id: int) -> str | None:
    db.session.rollback()
    return db.session.scalar(select(Campaign.trouble).where(Campaign.id == campaign_id))


@pytest.mark.parametrize("chunking", [False, True], ids=["DATA", "BDAT"])
def test_who_was_handed_over_without_an_answer_is_named_and_gets_nothing_twice(
    make_experiment: Callable[..., Experiment], chunking: bool
) -> None:
    experiment = make_experiment(chunking=chunking)
    experiment.start()
    experiment.launch(600)
    for accepted in (50, 100, 150):
        experiment.wait_for_mails(accepted)
        experiment.stage.sink.arrange(Mischief(Step.AFTER_DOT_KEPT, 1))
        experiment.stage.sink.arrange(Mischief(Step.AFTER_DOT_LOST, 1))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (len(verdict.uncertain), verdict.uncertain_delivered, verdict.by_ledger.sent) == (6, 3, 594)


def test_chunks_that_are_refused_cost_their_own_recipients_only(make_experiment: Callable[..., Experiment]) -> None:
    """The mail server believes nothing after a refused chunk until it hears RSET."""
    experiment = make_experiment(chunking=True)
    experiment.start()
    experiment.launch(400)
    for accepted in (40, 80, 120):
        experiment.wait_for_mails(accepted)
        experiment.stage.sink.arrange(Mischief(Step.CONTENT, 4, "554 5.6.0 Message refused"))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.failed, verdict.by_ledger.sent, verdict.uncertain) == (12, 388, [])


@pytest.mark.parametrize("reply", ["450 4.7.1 Too many messages for now", "421 4.7.0 Too many messages, slow down"])
def test_a_domain_that_wants_no_more_for_now_holds_up_nobody_else(
    make_experiment: Callable[..., Experiment], reply: str
) -> None:
    """One connection, so that nothing hides a slot that sleeps; a campaign before it tells the usual pace.

    What the mail server is to do is arranged before the launch: it need not be slow for a test that stumbles.
    """
    experiment = make_experiment(BULK_THREADS="1", BULK_CONNECTIONS="1", BATCH_SIZE="50")
    add_demo_users(100)
    for number in range(TIRED_PEOPLE):
        make_user(f"person{number}@{TIRED}")
    experiment.start()
    experiment.launch(200, milliseconds_each=30)
    experiment.wait_until(experiment.has_ended, what="the end of the campaign before")
    usual = times_of_others(experiment)

    tired = Mischief(Step.RCPT, 1_000_000, reply, domain=TIRED)
    experiment.stage.sink.arrange(tired)
    experiment.launch(200, milliseconds_each=30)
    experiment.wait_until(lambda: experiment.totals().sent == 200, what=lambda: str(experiment.totals()))
    times = times_of_others(experiment)[len(usual) :]
    assert max(later - earlier for earlier, later in pairwise(times)) < 5, "nobody sleeps beside those who wait"
    assert times[-1] - times[0] < 2 * (usual[-1] - usual[0]) + 5
    assert shared_limiter().slowed_domains() == [TIRED]

    tries = tired.times
    experiment.wait_until(lambda: experiment.has_ended() or tired.times <= tries - FURTHER_TRIES, what="further tries")
    assert trouble_of(experiment.campaign_id) is None, "that the domain wants no more is no trouble of the campaign's"
    totals = experiment.totals()
    assert (totals.sent, totals.deferred + totals.waiting + totals.sending) == (200, TIRED_PEOPLE)

    tired.times = 0
    experiment.wait_until(lambda: experiment.has_ended() or experiment.totals().sent > 200, what="the first of them")
    assert experiment.totals().sent < 200 + TIRED_PEOPLE, "its mails come at the pace that it has left"
    let_recover(experiment)
    verdict = experiment.wait_for_end()
    assert (verdict.by_ledger.sent, verdict.uncertain, verdict.lost, verdict.is_balanced) == (
        200 + TIRED_PEOPLE,
        [],
        [],
        True,
    )
    assert verdict.accepted == 2 * (200 + TIRED_PEOPLE)


THROTTLES = "carillon:rate:throttles"  # in Redis
TIRED = "slow.example.org"
TIRED_PEOPLE = 6  # each of them waits about five seconds for a turn
FURTHER_TRIES = 3  # one more than a server gets that takes nothing


def let_recover(experiment: Experiment) -> None:
    """Let the ten minutes pass in which the tired domain comes back to its pace."""
    with experiment.stage.redis() as client:
        throttle = Throttle.from_text(client.hget(THROTTLES, TIRED).decode())
        client.hset(THROTTLES, TIRED, replace(throttle, at=throttle.at - RECOVERY_SECONDS).to_text())
    assert shared_limiter().slowed_domains() == []


def times_of_others(experiment: Experiment) -> list[float]:
    """Return when each mail was accepted that was not for the tired domain, in order."""
    record = read_record(experiment.stage.record_path)
    return [mail.at for mail in record if not mail.recipient.endswith(TIRED)]
