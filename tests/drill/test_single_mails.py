"""Verification and reset mails: what the queue loses is sent all the same, since each has a row."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select, update

from campaigns.accounts.models import User
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.mail.services import queue_mail
from campaigns.mail.tasks import send_mail
from campaigns.ops.drill_record import read_record
from tests.drill.harness import Experiment, new_person
from tests.pages import submit
from tests.people import make_users
from tests.stopwatch import Stopwatch


def queue_notice(person: User) -> int:
    mail = queue_mail(
        kind="password_changed",
        to_address=person.email,
        language="en",
        context={"user_id": person.id},
        expires_at=utcnow() + timedelta(hours=1),
    )
    db.session.commit()
    return mail.id


def let_go_of_what_the_dead_hold() -> None:
    """Cut short the quarter of an hour that a dead sender's mails are held, before another sender takes any."""
    db.session.rollback()
    held = OutboxMail.state == OutboxState.SENDING
    db.session.execute(update(OutboxMail).where(held).values(lease_until=utcnow() + timedelta(seconds=1)))
    db.session.commit()


def all_are_sent(count: int) -> bool:
    db.session.rollback()
    sent = select(func.count()).select_from(OutboxMail).where(OutboxMail.state == OutboxState.SENT)
    return db.session.scalar(sent) == count


def test_a_sender_of_single_mails_killed_while_fifty_a_second_arrive(experiment: Experiment) -> None:
    experiment.start("mail.now", "work", "beat")
    people = make_users(150)
    for number, person in enumerate(people):
        enqueue(send_mail, queue_notice(person))
        time.sleep(0.02)
        if number in {50, 100}:
            sender = experiment.stage.child("mail.now")
            if sender.process and experiment.stage.kill(sender):
                sender.process.wait()
                let_go_of_what_the_dead_hold()
            experiment.stage.watch(0.1)
    experiment.wait_until(lambda: all_are_sent(150), what="all single mails")
    received = Counter(mail.recipient for mail in read_record(experiment.stage.record_path))
    assert set(received) == {f"person{n}@example.com" for n in range(1, 151)}
    # A mail of this kind may come twice, with the same Message-ID; that is better than not at all.
    assert sum(received.values()) <= 150 + 2 * 4


def test_with_redis_away_a_sign_up_answers_and_its_mail_is_sent_when_it_is_back(
    experiment: Experiment, site: Flask
) -> None:
    """Away for eight seconds and as long as the sign-ups take, not for ten minutes."""
    experiment.start("mail.now", "work", "beat")
    experiment.stage.let_go(experiment.stage.child("redis"))
    for number in range(5):
        stopwatch = Stopwatch()
        assert submit(site.test_client(), "/signup", new_person(f"new{number}")).status_code == 303
        assert stopwatch.seconds < 6
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(OutboxMail)) == 5
    experiment.stage.watch(8)
    assert all(child.process and child.process.poll() is None for child in experiment.stage.working())
    experiment.stage.start_redis()
    experiment.wait_until(lambda: all_are_sent(5), what="all verification mails")
    assert experiment.stage.sink.accepted == 5
