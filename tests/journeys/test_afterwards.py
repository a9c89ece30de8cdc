"""After a campaign has ended: the uncertain are settled by name, those who failed are tried again, the rest is sent.

Real workers, a real mail server that hangs up or refuses, and one or two people at the browser; what the mail server
took is held against what the pages say.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from flask import current_app
from playwright.sync_api import Page, expect
from sqlalchemy import select

from campaigns.compose.models import Campaign
from campaigns.delivery import states
from campaigns.delivery.models import Delivery
from campaigns.extensions import db
from campaigns.ops.drill_record import read_record
from campaigns.ops.drill_sink import Mischief, Step
from tests.drill.harness import Experiment
from tests.journeys.browsing import Windows
from tests.journeys.looking import axe_violations
from tests.journeys.steps import check_equations
from tests.people import PASSWORD, make_user
from tests.settings.storing import store_and_look
from tests.smtp_sink import free_port
from tests.web_server import on_port

pytestmark = pytest.mark.timeout(500)
OWNER, SECOND = "owner@example.com", "second@example.com"
THREADS = 2  # of the sender: as many connections


@dataclass
class Desk:
    """A person who may launch, at the browser, beside an experiment with real processes."""

    page: Page
    url: str
    experiment: Experiment

    def report(self, path: str = "") -> str:
        return f"{self.url}/campaigns/{self.experiment.campaign_id}/report{path}"

    def mails(self) -> Counter[str]:
        """Return how many mails the mail server has taken for each address."""
        return Counter(mail.recipient for mail in read_record(self.experiment.stage.record_path))

    def wait_for_end(self) -> None:
        experiment = self.experiment
        experiment.wait_until(experiment.has_ended, seconds=120, what=lambda: f"the end, {experiment.totals()}")

    def is_closed(self) -> bool:
        """Tell whether the totals are recorded; a cancelled campaign still marks its rows until then."""
        db.session.rollback()
        return db.session.get_one(Campaign, self.experiment.campaign_id).finished_at is not None

    def wait_for_mails_since(self, before: Counter[str], expected: Mapping[str, int]) -> None:
        """Wait until the mail server has taken exactly these mails since then."""
        self.experiment.wait_until(
            lambda: self.mails() - before == Counter(expected),
            seconds=60,
            what=lambda: f"{expected}, not {self.mails() - before}",
        )

    def send_until_cancelled(self) -> list[str]:
        """Send to a hundred people, cancel half way, and return who was left without the mail."""
        experiment = self.experiment
        experiment.start()
        experiment.launch(100, milliseconds_each=800)
        experiment.wait_for_mails(15)
        assert states.cancel(experiment.campaign_id)
        experiment.wait_until(
            self.is_closed, seconds=120, what=lambda: f"the cancel to be through, {experiment.totals()}"
        )
        experiment.stage.sink.pause_seconds = 0
        late = people_in(experiment, Delivery.state == "cancelled")
        assert len(late) == experiment.totals().cancelled > 0
        return late

    def follow(self, address: str) -> list[str]:
        """Return the steps of one person's page, found from the report by the address, each as one line of words."""
        self.page.goto(self.report("/people"))
        self.page.get_by_role("searchbox").fill(address)
        self.page.get_by_role("searchbox").press("Enter")
        self.page.get_by_role("link", name="Everything known about this mail").click()
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(address)
        rows = self.page.locator("#steps tbody tr").all()
        return [re.sub(r"\s+", " ", row.inner_text()) for row in rows]


@contextmanager
def at_desk(make_experiment: Callable[..., Experiment], windows: Windows, **environ: str) -> Iterator[Desk]:
    """Serve an experiment's site, and log somebody in who may launch."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    experiment = make_experiment(PUBLIC_BASE_URL=url, PORT=str(port), **environ)
    make_user(OWNER, role="owner", password=True, language="en", timezone="UTC")
    with on_port(current_app._get_current_object(), port):  # type: ignore[attr-defined]
        yield Desk(window_of(windows, url, OWNER), url, experiment)


def window_of(windows: Windows, url: str, address: str) -> Page:
    """Log somebody in, in a window of their own."""
    page = windows.open(language="en")
    page.goto(f"{url}/login")
    page.locator("#email").fill(address)
    page.locator("#password").fill(PASSWORD)
    page.locator("main form button.primary").click()
    page.wait_for_url(lambda where: "/login" not in where)
    return page


def in_order(steps: list[str], *words: str) -> bool:
    """Tell whether these words stand in the steps, one after the other."""
    rest = iter(steps)
    return all(any(each in step for step in rest) for each in words)


def test_the_uncertain_are_left_or_sent_to_again_by_name(
    make_experiment: Callable[..., Experiment], windows: Windows
) -> None:
    with at_desk(make_experiment, windows) as desk:
        experiment, page = desk.experiment, desk.page
        experiment.start()
        experiment.launch(80, milliseconds_each=400)
        experiment.wait_for_mails(10)
        # One answer is lost with its connection, another with the process that waited for it.
        kill = lambda: os.killpg(experiment.pid("mail.bulk-1"), signal.SIGKILL)  # noqa: E731
        experiment.stage.most_uncertain_by_kills += THREADS
        experiment.stage.sink.arrange(Mischief(Step.AFTER_DOT_LOST, 1))
        experiment.stage.sink.arrange(Mischief(Step.AFTER_DOT_KEPT, 1, then=kill))
        verdict = experiment.wait_for_end()
        assert verdict.problems == []
        left = next(each.address for each in verdict.uncertain if not each.was_delivered)
        again = next(each.address for each in verdict.uncertain if each.was_delivered)
        before, totals = desk.mails(), experiment.totals()

        page.goto(desk.report())
        page.get_by_role("link", name="Decide").click()
        expect(page.locator("main")).to_contain_text(f"{totals.uncertain} mails have no answer")
        page.get_by_role("button", name=f"Leave: {left}").click()
        expect(page.locator("#messages")).to_contain_text(f"The mail to {left} is left as it is.")
        page.get_by_role("link", name=f"Send again: {again}").click()
        expect(page.locator("main")).to_contain_text("The mail may arrive twice")
        page.get_by_role("button", name="Send again").click()
        expect(page.locator("#messages")).to_contain_text(f"The mail is sent to {again} again.")
        desk.wait_for_end()

        assert desk.mails() - before == Counter({again: 1}), "exactly one more mail, to exactly that person"
        after = experiment.totals()
        assert (after.sent, after.uncertain) == (totals.sent + 1, totals.uncertain - 1)
        page.goto(desk.report())
        check_equations(page, totals.recipients)
        expect(page.locator("#uncertain")).not_to_contain_text(again)
        assert in_order(
            desk.follow(again), "Counted among the recipients", "Attempt 1: handed over, and the answer is not known",
            f"Somebody decided to send it once more By: {OWNER}", "Attempt 2: accepted by the mail server",
        ), desk.follow(again)  # fmt: skip
        assert in_order(
            desk.follow(left),
            "the answer is not known",
            f"Somebody decided to leave it as it is: not certain By: {OWNER}",
        )
        assert windows.console == []


def test_those_who_failed_for_a_time_are_tried_again_and_nobody_else(
    make_experiment: Callable[..., Experiment], windows: Windows
) -> None:
    with at_desk(make_experiment, windows, GIVE_UP_HOURS="0") as desk:
        experiment, page = desk.experiment, desk.page
        experiment.start()
        experiment.stage.sink.arrange(Mischief(Step.RCPT, 3, reply="451 4.2.1 Come back later"))
        experiment.stage.sink.arrange(Mischief(Step.RCPT, 1, reply="550 5.1.1 No such user"))
        experiment.launch(40, milliseconds_each=0)
        assert experiment.wait_for_end().problems == []
        refused = failed_people(experiment, "451%")
        before = desk.mails()

        page.goto(desk.report())
        page.get_by_role("link", name="Try 3 temporary failures again").click()
        expect(page.locator(".launch-figure")).to_contain_text("3")
        page.get_by_role("button", name="Send to 3 people").click()
        expect(page.locator("#messages")).to_contain_text("3 people wait again.")
        desk.wait_for_end()

        assert desk.mails() - before == Counter(refused)
        totals = experiment.totals()
        assert (totals.sent, totals.failed) == (totals.recipients - 1, 1)
        page.goto(desk.report())
        check_equations(page, totals.recipients)
        assert in_order(
            desk.follow(refused[0]), "Attempt 1: temporarily refused, and the time for trying again was up",
            f"Somebody decided to try it again By: {OWNER}", "Attempt 2: accepted by the mail server",
        )  # fmt: skip
        (gone,) = failed_people(experiment, "550%")
        steps = desk.follow(gone)
        assert in_order(steps, "Attempt 1: permanently refused")
        assert "the recipient (RCPT)" in steps[-1]
        assert "550 5.1.1 No such user" in steps[-1]


def test_exactly_the_rest_of_a_cancelled_campaign_is_sent(
    make_experiment: Callable[..., Experiment], windows: Windows
) -> None:
    with at_desk(make_experiment, windows, BATCH_SIZE="20") as desk:
        experiment, page = desk.experiment, desk.page
        late = desk.send_until_cancelled()
        cancelled, before = len(late), desk.mails()

        page.goto(desk.report())
        page.get_by_role("link", name=f"Send to exactly the {cancelled} people left").click()
        expect(page.locator(".launch-figure")).to_contain_text(str(cancelled))
        page.get_by_role("button", name=f"Send to {cancelled} people").click()
        expect(page.locator("#messages")).to_contain_text(f"{cancelled} people wait again.")
        desk.wait_for_end()

        assert desk.mails() - before == Counter(late), "each of them once, and nobody else"
        page.goto(desk.report())
        check_equations(page, experiment.totals().recipients)
        assert in_order(
            desk.follow(late[0]), "Counted among the recipients", "The campaign was cancelled", "queued again",
            "Attempt 1: accepted by the mail server",
        )  # fmt: skip


def test_a_second_person_declines_the_rest_and_then_approves_it(
    make_experiment: Callable[..., Experiment], windows: Windows
) -> None:
    with at_desk(make_experiment, windows, BATCH_SIZE="20") as desk:
        experiment, page = desk.experiment, desk.page
        make_user(SECOND, role="sender", password=True, language="en", timezone="UTC")
        late = desk.send_until_cancelled()
        experiment.start_more("mail.now")
        store_and_look("safety", approve_from=5)
        before, second = desk.mails(), window_of(windows, desk.url, SECOND)

        ask_for_the_rest(desk, len(late))
        desk.wait_for_mails_since(before, {SECOND: 1})
        second.goto(desk.report())
        second.get_by_role("link", name="Review and decide").click()
        expect(second.locator("main")).to_contain_text(f"Asked for by: {OWNER}.")
        assert axe_violations(second) == []
        second.get_by_role("button", name="Decline").click()
        expect(second.locator("#messages")).to_contain_text("The request was withdrawn. Nothing was sent.")
        desk.wait_for_mails_since(before, {SECOND: 1, OWNER: 1})
        page.goto(desk.report())
        expect(page.get_by_role("link", name="Review and decide")).to_have_count(0)

        ask_for_the_rest(desk, len(late))
        desk.wait_for_mails_since(before, {SECOND: 2, OWNER: 1})
        second.goto(desk.report())
        second.get_by_role("link", name="Review and decide").click()
        second.get_by_role("button", name=f"Send to {len(late)} people").click()
        expect(second.locator("#messages")).to_contain_text(f"{len(late)} people wait again.")
        desk.wait_for_end()

        told = Counter({SECOND: 2, OWNER: 2})
        desk.wait_for_mails_since(before, Counter(late) + told)
        page.goto(desk.report())
        check_equations(page, experiment.totals().recipients)
        assert in_order(desk.follow(late[0]), "The campaign was cancelled", f"queued again By: {SECOND}", "accepted")
        assert windows.console == []


def ask_for_the_rest(desk: Desk, people: int) -> None:
    """Ask for a second person's approval of sending to exactly these, and see that somebody else has to decide."""
    page = desk.page
    page.goto(desk.report())
    page.get_by_role("link", name=f"Send to exactly the {people} people left").click()
    expect(page.locator("main")).to_contain_text("A second person has to approve this")
    page.get_by_role("button", name="Ask for approval").click()
    expect(page.locator("#messages")).to_contain_text("A second person is asked to approve it. Nothing was sent yet.")
    expect(page.locator("main")).to_contain_text(f"one of these people has to approve it: {SECOND}.")


def failed_people(experiment: Experiment, reply: str) -> list[str]:
    return people_in(experiment, Delivery.state == "failed", Delivery.reply.like(reply))


def people_in(experiment: Experiment, *conditions: object) -> list[str]:
    db.session.rollback()
    query = select(Delivery.address).where(Delivery.campaign_id == experiment.campaign_id, *conditions)
    return list(db.session.scalars(query.order_by(Delivery.position)))
