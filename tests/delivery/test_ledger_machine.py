"""The ledger in every order: claims, answers, crashes, lost and replayed journals, late truths, pause, cancel.

Hypothesis drives the real functions on a real database, with real journals on disk, through sequences that nobody would
think of, and shortens the one that breaks something. The model beside it knows what the mail server was handed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select, update

from app import create_app
from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.config import current_settings, load_settings
from campaigns.delivery import ledger, rounds, states
from campaigns.delivery.claims import Lease, Settlement
from campaigns.delivery.journal import Journal, boot_id
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.reconcile import cancel_rest, reconcile
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze
from tests.people import make_users

D = DeliveryState
LEASE_FOR = timedelta(seconds=30)
PEOPLE = 16
BATCH = 8
FINAL = {D.SENT, D.FAILED, D.SKIPPED, D.CANCELLED, D.EXCLUDED}
OPEN = {D.WAITING, D.SENDING, D.DEFERRED}


@dataclass
class Worker:
    """One run over one batch, as the sending loop does it, step by step."""

    lease: Lease
    journal: Journal
    claimed: set[int] = field(default_factory=set)  # without an answer yet
    handed_over: set[int] = field(default_factory=set)
    settlements: list[Settlement] = field(default_factory=list)

    def forget(self) -> None:
        self.settlements = []
        self.journal.forget()


class LedgerMachine(RuleBasedStateMachine):
    """`may_have_it`: people who may hold the mail: it was handed over and nobody has said that it was refused."""

    def __init__(self) -> None:
        super().__init__()
        db.session.rollback()
        db.session.execute(update(User).values(unsubscribed_at=None))
        db.session.execute(delete(Suppression))
        db.session.commit()
        self.now = utcnow()
        self.campaign_id = launch_and_freeze()
        self.journal_folder = Path(current_settings().journal_dir)
        self.workers: list[Worker] = []
        self.may_have_it: set[int] = set()
        self.was_accepted: set[int] = set()
        self.seen: dict[int, tuple[D, str | None]] = {}
        self.acting_tokens: set[str | None] = set()
        self.may_be_paused = self.may_be_cancelled = False
        self.steps = 0
        self.dead_tokens: set[str | None] = set()

    @initialize(people_meddle=st.sampled_from(["never", "never", "pause", "cancel"]))
    def decide(self, people_meddle: str) -> None:
        """Most campaigns are never paused or cancelled; little else can happen in one that is."""
        self.may_be_paused, self.may_be_cancelled = people_meddle == "pause", people_meddle == "cancel"

    # A worker's steps

    @precondition(lambda self: len(self.workers) < 3)
    @rule(data=st.data(), number=st.integers(1, PEOPLE // BATCH), steps=st.integers(2, 8))
    def start_a_run(self, data: st.DataObject, number: int, steps: int) -> None:
        with freeze(self.now):
            lease = ledger.take_lease(self.campaign_id, number, worker="one", lease_for=LEASE_FOR)
        self.acting_tokens = set()
        if lease:
            self.workers.append(Worker(lease, Journal(self.journal_folder, lease).__enter__()))
            self.acting_tokens = {lease.token}
            self.take_steps(self.workers[-1], data, steps)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), steps=st.integers(1, 10))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        """Let a worker do what comes next: claim, hand over, hear an answer, settle."""
        worker = self.act_as(data)
        if data.draw(st.booleans()):
            with freeze(self.now):
                ledger.renew_lease(worker.lease, lease_for=LEASE_FOR)
        self.take_steps(worker, data, steps)

    def take_steps(self, worker: Worker, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            if not worker.claimed and not self.claim(worker, data):
                return
            if worker.claimed:
                position = data.draw(st.sampled_from(sorted(worker.claimed)))
                if position in worker.handed_over or data.draw(st.integers(0, 9)) == 9:
                    self.hear_an_answer(worker, position, data)
                else:
                    self.hand_over(worker, position)

    def claim(self, worker: Worker, data: st.DataObject) -> bool:
        """Settle and claim; a commit may go through without the worker knowing, which then does the same again."""
        size, times = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 1, 1, 2]))
        with freeze(self.now):
            try:
                for _ in range(times):
                    claimed = ledger.settle_and_claim(worker.lease, worker.settlements, size=size, lease_for=LEASE_FOR)
            except ledger.LeaseLost:
                worker.forget()
                self.end(worker)
                return False
        worker.forget()
        worker.claimed = {recipient.position for recipient in claimed}
        worker.handed_over = set()
        return True

    def hand_over(self, worker: Worker, position: int) -> None:
        worker.journal.hand_over(position)
        worker.handed_over.add(position)
        assert position not in self.may_have_it, f"{position} may have it already"
        self.may_have_it.add(position)

    def hear_an_answer(self, worker: Worker, position: int, data: st.DataObject) -> None:
        answers = [D.FAILED, D.DEFERRED, D.DEFERRED, D.WAITING, D.WAITING]
        answers += [D.SENT, D.UNCERTAIN] if position in worker.handed_over else []
        state = data.draw(st.sampled_from(answers))
        if state is D.SENT:
            self.was_accepted.add(position)
        elif state is not D.UNCERTAIN:
            self.may_have_it.discard(position)
        settlement = Settlement(
            position,
            state,
            "connection_lost" if state is D.UNCERTAIN else None,
            next_attempt_at=self.now + timedelta(minutes=1) if state is D.DEFERRED else None,
            counts_as_attempt=state is not D.WAITING,
        )
        worker.journal.answer(settlement)
        worker.settlements.append(settlement)
        worker.claimed.discard(position)

    @precondition(lambda self: self.steps > 8 and self.workers)
    @rule()
    def others_send_all_they_can(self) -> None:
        """Bring the campaign as near to its end as it will go, however much is in other hands."""
        self.acting_tokens = set()
        with freeze(self.now):
            self.send_to_the_rest()
            rounds.finish(self.campaign_id)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def end_a_run(self, data: st.DataObject) -> None:
        times, is_refused = data.draw(st.sampled_from([1, 1, 1, 2])), data.draw(st.booleans())
        self.end(self.act_as(data), times=times, is_refused=is_refused)

    def end(self, worker: Worker, *, times: int = 1, is_refused: bool = False) -> None:
        """Do what a run does at its end, whatever ended it; a commit may go through without the worker knowing."""
        for position in worker.claimed:
            state = D.UNCERTAIN if position in worker.handed_over else D.WAITING
            reason = "connection_lost" if state is D.UNCERTAIN else None
            worker.settlements.append(Settlement(position, state, reason, counts_as_attempt=state is D.UNCERTAIN))
        with freeze(self.now):
            if is_refused:  # the round is held in between
                ledger.settle_and_claim(worker.lease, worker.settlements, size=0, lease_for=LEASE_FOR)
                worker.settlements = []
            for _ in range(times):
                ledger.settle_and_release(worker.lease, worker.settlements)
        worker.forget()
        worker.journal.__exit__(None, None, None)
        self.workers.remove(worker)

    # What breaks

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), journal=st.sampled_from(["kept", "kept", "lost", "of_an_earlier_boot"]))
    def crash(self, data: st.DataObject, journal: str) -> None:
        worker = self.act_as(data)
        self.acting_tokens = set()
        self.workers.remove(worker)
        path = worker.journal._path
        if journal == "lost":
            path.unlink()
        elif journal == "of_an_earlier_boot":
            lines = path.read_bytes().splitlines(keepends=True)
            head = lines[0].replace(boot_id().encode(), b"another-boot")
            assert head != lines[0]
            kept = data.draw(st.integers(0, len(lines) - 1))
            path.write_bytes(b"".join([head, *lines[1 : 1 + kept]]))
        os.close(worker.journal._file)
        self.dead_tokens.add(worker.lease.token)

    @precondition(lambda self: self.steps > 1)
    @rule(seconds=st.sampled_from([0, 1, 31, 90]), repair=st.sampled_from(["nothing", "journals", "everything"]))
    def time_passes(self, seconds: int, repair: str) -> None:
        self.acting_tokens = set(self.dead_tokens)
        self.now += timedelta(seconds=seconds)
        with freeze(self.now):
            if repair == "journals":
                replay_dead_journals(self.journal_folder)
            elif repair == "everything":
                reconcile(broker_is_empty=True)
                rounds.plan_round(self.campaign_id)

    # What people do

    @precondition(lambda self: self.may_be_paused and self.steps > 3)
    @rule(move=st.sampled_from([states.pause, states.resume, states.resume]))
    def pause_or_resume(self, move: Callable[[int], bool]) -> None:
        self.acting_tokens = set()
        with freeze(self.now):
            move(self.campaign_id)

    @precondition(lambda self: self.may_be_cancelled and self.steps > 8)
    @rule()
    def cancel(self) -> None:
        self.acting_tokens = set()
        with freeze(self.now):
            if states.cancel(self.campaign_id):
                cancel_rest(self.campaign_id)

    @precondition(lambda self: self.steps in {3, 9})
    @rule(person=st.sampled_from([BATCH, PEOPLE]))
    def unsubscribe(self, person: int) -> None:
        self.acting_tokens = set()
        key = f"person{person}@example.com"
        db.session.execute(update(User).where(User.address_key == key).values(unsubscribed_at=self.now))
        db.session.commit()

    # What must hold

    @invariant()
    def count_steps(self) -> None:
        self.steps += 1

    @invariant()
    def the_equation_holds_and_both_ways_of_counting_agree(self) -> None:
        db.session.rollback()
        db.session.expire_all()
        by_batches, by_rows = campaign_totals(self.campaign_id), ledger_totals(self.campaign_id)
        assert by_batches == by_rows
        assert by_batches.balances
        assert by_batches.recipients == PEOPLE

    @invariant()
    def rows_only_move_as_they_may(self) -> None:
        has_ended = db.session.scalar(select(Campaign.finished_at).where(Campaign.id == self.campaign_id)) is not None
        rows = db.session.execute(
            select(Delivery.position, Delivery.state, Delivery.token, Delivery.attempts)
            .where(Delivery.campaign_id == self.campaign_id)
        )  # fmt: skip
        for position, state, token, attempts in rows:
            before, token_before = self.seen.get(position, (D(state), token))
            if before in FINAL:
                assert state == before, f"{position} was {before} and became {state}"
            if before is D.UNCERTAIN and state != before:
                assert token_before in self.acting_tokens, f"{position} was settled by somebody else"
            if state in OPEN - {D.SENDING} | {D.CANCELLED, D.SKIPPED, D.FAILED}:
                assert position not in self.may_have_it, f"{position} is {state}, and may have the mail"
            if state == D.SENT:
                assert position in self.was_accepted
            assert attempts >= 0
            assert not (has_ended and state in OPEN), f"{position} is {state} in a campaign that has ended"
            self.seen[position] = (D(state), token)

    def teardown(self) -> None:
        """Whatever happened, the campaign comes to its end by sweeps and rounds alone."""
        for worker in self.workers:
            os.close(worker.journal._file)
            self.dead_tokens.add(worker.lease.token)
        for _ in range(5):
            self.now += timedelta(minutes=3)
            with freeze(self.now):
                reconcile(broker_is_empty=True)
                states.resume(self.campaign_id)
                self.send_to_the_rest()
                rounds.finish(self.campaign_id)
        self.acting_tokens = set(self.dead_tokens)
        self.the_equation_holds_and_both_ways_of_counting_agree()
        self.rows_only_move_as_they_may()
        assert campaign_totals(self.campaign_id).state in {"sent", "cancelled"}
        assert db.session.get(Campaign, self.campaign_id).finished_at is not None
        assert list(self.journal_folder.iterdir()) == []

    def send_to_the_rest(self) -> None:
        for number in range(1, PEOPLE // BATCH + 1):
            lease = ledger.take_lease(self.campaign_id, number, worker="last", lease_for=LEASE_FOR)
            if lease is None:
                continue
            claimed = ledger.settle_and_claim(lease, (), size=PEOPLE, lease_for=LEASE_FOR)
            assert not {recipient.position for recipient in claimed} & self.may_have_it
            self.was_accepted |= {recipient.position for recipient in claimed}
            ledger.settle_and_release(lease, [Settlement(recipient.position, D.SENT) for recipient in claimed])

    def act_as(self, data: st.DataObject, fits: Callable[[Worker], bool] = lambda _: True) -> Worker:
        """Choose the worker that acts in this step."""
        worker = data.draw(st.sampled_from([each for each in self.workers if fits(each)]))
        self.acting_tokens = {worker.lease.token}
        return worker


@pytest.fixture
def small_batches(environ: dict[str, str]) -> Iterator[None]:
    application = create_app(load_settings({**environ, "BATCH_SIZE": str(BATCH)}))
    with application.app_context():
        # Hundreds of sequences: what is on disk when the power fails is not what this test is about.
        db.session.execute(db.text("PRAGMA synchronous=OFF"))
        make_users(PEOPLE)
        yield
        db.session.remove()
        db.engine.dispose()
    application.extensions["celery"].close()


@pytest.mark.timeout(600)
def test_no_order_of_events_breaks_the_ledger(small_batches: None) -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )
