"""The drill: a campaign to people who do not exist, everything broken meanwhile, and the proof that it adds up."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from sqlalchemy import func, or_, select, update

from campaigns.accounts.models import User
from campaigns.audience.demo_users import DEMO_DOMAIN, add_demo_users
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.models import FINAL_STATES, Campaign
from campaigns.compose.services import Draft, create_campaign
from campaigns.config import Settings
from campaigns.delivery.launch import launch_now
from campaigns.delivery.models import Batch, Delivery, DeliveryState
from campaigns.delivery.states import state_of
from campaigns.delivery.tasks import end_hold
from campaigns.errors import CarillonError
from campaigns.extensions import db
from campaigns.ops.drill_faults import choose_faults
from campaigns.ops.drill_record import read_record
from campaigns.ops.drill_stage import Stage
from campaigns.ops.drill_verdict import Verdict, judge
from campaigns.patience import while_database_returns
from campaigns.site import Site

SECONDS_BETWEEN_FAULTS = 2.0  # about; the mail server is as slow as that takes
LONGEST_WAIT_SECONDS = 20.0  # for a campaign that stands still, before the next fault comes all the same
CALM_SECONDS = 30.0  # for what is still to be written down after the end
BODY = '{{ name | default: "reader" }},\n\nthis is a **drill**. [Read on](https://example.com/drill)\n'


class NotADrill(CarillonError):
    """The settings are not those of a drill; nothing was touched."""


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    recipients: int
    faults: int
    seed: int

    @property
    def limit_seconds(self) -> float:
        """How long the campaign may take: each fault may hold the rounds for a minute."""
        return 180 + 70 * self.faults + self.recipients / 50


@dataclass
class Drill:
    """One drill on a stage whose Redis and mail server run."""

    plan: Plan
    stage: Stage
    say: Callable[[str], None]
    campaign_id: int = 0
    events: list[tuple[float, str]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def run(self) -> Verdict:
        """Send, break, wait, compare. Everything is bounded in time; a campaign that does not end is in the verdict."""
        self.campaign_id = launch_drill_campaign(self.plan.recipients)
        self._pace()
        self.stage.start_workers()
        self.note(f"campaign launched to {self.plan.recipients:,} recipients")
        enqueue(end_hold, self.campaign_id)
        self._break_things()
        self.stage.sink.pause_seconds = 0
        ended = self._wait_for_the_end()
        self.note(f"campaign is {ended}, {self.stage.sink.accepted:,} mails accepted")
        self._wait_for_calm()
        self.stage.stop_workers()
        record = read_record(self.stage.record_path)
        return judge(
            self.campaign_id,
            record,
            most_uncertain=self.stage.most_uncertain,
            knows_whose=self.stage.knows_whose,
        )

    def note(self, text: str) -> None:
        """Put a line in the log of what happened, with its time."""
        self.events.append((round(time.monotonic() - self._began, 1), text))
        self.say(f"{self.events[-1][0]:7.1f} s  {text}")

    def _pace(self) -> None:
        """Slow the mail server down so far that the campaign outlasts its faults."""
        mails_between_faults = max(1.0, self.plan.recipients / (self.plan.faults + 1))
        settings = self.stage.settings
        connections = 2 * settings.bulk_threads * settings.bulk_connections  # of two sending processes
        self.stage.sink.pause_seconds = min(0.5, connections * SECONDS_BETWEEN_FAULTS / mails_between_faults)

    def _break_things(self) -> None:
        """Break one thing after another, each when its share of the mails has been accepted."""
        dice = Random(self.plan.seed)
        for number, fault in enumerate(choose_faults(self.plan.faults, dice), start=1):
            due = int(self.plan.recipients * (number - dice.random()) / (self.plan.faults + 1))
            self._wait_for(lambda due=due: self.stage.sink.accepted >= due, seconds=LONGEST_WAIT_SECONDS)  # type: ignore[misc]
            if self.stage.supervisor.stop_requested.is_set():
                return
            self.note(while_database_returns(lambda fault=fault: fault(self.stage, self.campaign_id, dice)))  # type: ignore[misc]

    def _wait_for_the_end(self) -> str:
        left = self.plan.limit_seconds - (time.monotonic() - self._began)
        self._wait_for(lambda: self._state() in FINAL_STATES, seconds=left)
        return self._state()

    def _wait_for_calm(self) -> None:
        """Let late workers tell what they know: no lease, no journal, nobody still in their hands."""
        self._wait_for(self._is_calm, seconds=CALM_SECONDS)

    def _is_calm(self) -> bool:
        leased = select(func.count()).select_from(Batch).where(Batch.lease_token.is_not(None))
        is_leased = while_database_returns(lambda: db.session.scalar(leased))
        db.session.rollback()
        return not is_leased and not any(self.stage.settings.journal_dir.glob("*.journal"))

    def _state(self) -> str:
        state = while_database_returns(lambda: state_of(self.campaign_id))
        db.session.rollback()
        return state or "lost"

    def _wait_for(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.stage.supervisor.stop_requested.is_set() and time.monotonic() < deadline:
            if condition():
                return True
            self.stage.watch(0.2)
            while_database_returns(lambda: shorten_pauses(self.campaign_id))
        return False


def launch_drill_campaign(recipients: int) -> int:
    """Make people and an announcement, and launch it as a person would, without a hold; returns its id. Commits."""
    if db.session.get(Site, 1) is None:
        site = Site(
            id=1, name="Drill", sender_name="Drill", sender_address=f"news@{DEMO_DOMAIN}", postal_address="Seoul"
        )
        db.session.add(site)
        db.session.commit()
    add_demo_users(recipients)
    draft = Draft(subject="Drill", preheader="", sender_name="", reply_to="", language="en", body=BODY)
    campaign_id = create_campaign(created_by_id=None, draft=draft)
    launch_now(campaign_id, by=None, launch_key=secrets.token_hex(16), hold_seconds=0)
    return campaign_id


def shorten_pauses(campaign_id: int) -> None:
    """Let those refused for now come back in seconds: the drill has no hour to wait. Commits."""
    soon = utcnow() + timedelta(seconds=2)
    ours = (Batch.campaign_id == campaign_id, Batch.deferred > 0, Batch.next_attempt_at > soon)
    batches = db.session.execute(select(Batch.first_position, Batch.last_position).where(*ours)).all()
    db.session.rollback()
    if not batches:
        return
    db.session.execute(update(Batch).where(*ours).values(next_attempt_at=soon))
    ranges = or_(*(Delivery.position.between(batch.first_position, batch.last_position) for batch in batches))
    db.session.execute(
        update(Delivery)
        .where(Delivery.campaign_id == campaign_id, Delivery.state == DeliveryState.DEFERRED, ranges)
        .values(next_attempt_at=soon)
    )
    db.session.commit()


def refuse_unless_own(settings: Settings) -> None:
    """Raise NotADrill unless this is a drill's own house: nobody in the database, our own Redis, mail stays here."""
    people = db.session.scalar(select(func.count()).select_from(User)) or 0
    sent = db.session.scalar(select(func.count()).select_from(Campaign)) or 0
    if people or sent:
        raise NotADrill("This database is in use. Start a drill with: flask drill")
    if settings.embedded_redis is None or settings.trial_mode or settings.mail_leaves_machine:
        raise NotADrill("This is not a drill's own place. Start a drill with: flask drill")
