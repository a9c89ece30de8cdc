"""The mail server away, silent after the final dot, or tired of one domain: nobody's attempt is burnt for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from campaigns.compose.models import Campaign
from campaigns.delivery.models import Delivery
from campaigns.extensions import db
from campaigns.ops.drill_mischief import Mischief, Step
from tests.drill.harness import Experiment
from tests.people import make_user


def test_a_mail_server_that_is_away_holds_the_campaign_and_burns_nobodys_attempt(experiment: Experiment) -> None:
    """Away for four seconds, not for five minutes."""
    experiment.start()
    experiment.launch(600)
    experiment.wait_for_mails(100)
    experiment.stage.sink.refuse()
    experiment.wait_until(lambda: trouble_of(experiment.campaign_id), seconds=20, what="the campaign to be held")
    experiment.stage.watch(4)
    totals = experiment.totals()
    assert (totals.failed, totals.deferred, totals.balances) == (0, 0, True)
    experiment.stage.sink.listen()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert verdict.by_ledger.sent + len(verdict.uncertain) == 600
    most = db.session.scalar(select(func.max(Delivery.attempts)).where(Delivery.campaign_id == experiment.campaign_id))
    assert most == 1
    assert trouble_of(experiment.campaign_id) is None


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
    for accepted in (100, 200, 300):
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
    for accepted in (50, 100, 150):
        experiment.wait_for_mails(accepted)
        experiment.stage.sink.arrange(Mischief(Step.CONTENT, 4, "554 5.6.0 Message refused"))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.failed, verdict.by_ledger.sent, verdict.uncertain) == (12, 388, [])


def test_a_domain_that_wants_no_more_for_now_holds_up_nobody_else(experiment: Experiment) -> None:
    for number in range(60):
        make_user(f"person{number}@slow.example.org")
    experiment.start()
    tired = Mischief(Step.RCPT, 1_000_000, "450 4.7.1 Too many messages for now", domain="slow.example.org")
    experiment.stage.sink.arrange(tired)
    experiment.launch(400, milliseconds_each=5)
    experiment.wait_until(lambda: experiment.totals().sent == 400, seconds=60, what="everybody else")
    assert experiment.totals().deferred + experiment.totals().waiting + experiment.totals().sending == 60
    tired.times = 0
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (460, [])
