"""The drill's faults: each breaks one thing that breaks in real life, and says in a line what it did."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from random import Random

from sqlalchemy import make_url, select, text

from campaigns.celery import enqueue
from campaigns.delivery.models import Batch
from campaigns.delivery.states import pause, resume
from campaigns.delivery.tasks import publish_round, record_totals, send_batch
from campaigns.extensions import db
from campaigns.ops.drill_mischief import Mischief, Step
from campaigns.ops.drill_stage import Stage

Fault = Callable[[Stage, int, Random], str]  # (stage, campaign id, dice) -> what was done


def choose_faults(count: int, dice: Random) -> list[Fault]:
    """Return `count` faults: every kind once in a random order, then again."""
    chosen: list[Fault] = []
    while len(chosen) < count:
        chosen += dice.sample(FAULTS, len(FAULTS))
    return chosen[:count]


def kill_a_sender(stage: Stage, _campaign_id: int, dice: Random) -> str:
    child = dice.choice(stage.senders() or [stage.child("mail.bulk-1")])
    if not stage.kill(child):
        return f"{child.plan.name} was down"
    whose = "its" if stage.knows_whose else "everybody's"
    return f"kill -9 {child.plan.name}: {stage.last_cut} connections cut, {whose}"


def kill_every_worker(stage: Stage, _campaign_id: int, _dice: Random) -> str:
    killed = [child.plan.name for child in stage.working() if stage.kill(child)]
    return f"kill -9 of everything that works: {', '.join(killed)}"


def kill_the_work_lane(stage: Stage, _campaign_id: int, _dice: Random) -> str:
    stage.kill(stage.child("work"))
    stage.kill(stage.child("beat"))
    return "kill -9 work and beat"


def stop_a_sender(stage: Stage, _campaign_id: int, dice: Random) -> str:
    child = dice.choice(stage.senders() or [stage.child("mail.bulk-1")])
    stage.kill(child, signal.SIGTERM)
    return f"SIGTERM to {child.plan.name}"


def roll_every_worker(stage: Stage, _campaign_id: int, _dice: Random) -> str:
    for child in stage.working():
        stage.kill(child, signal.SIGTERM)
    return "SIGTERM to everything that works, as a deploy does"


def kill_redis(stage: Stage, _campaign_id: int, _dice: Random) -> str:
    stage.kill(stage.child("redis"))
    return "kill -9 redis"


def flush_redis(stage: Stage, _campaign_id: int, _dice: Random) -> str:
    return "Redis FLUSHALL" if stage.flush_redis() else "Redis FLUSHALL: it was away"


def break_the_database(stage: Stage, _campaign_id: int, dice: Random) -> str:
    url = stage.settings.database_url
    return lock_sqlite(url, seconds=dice.uniform(1, 4)) if url.startswith("sqlite") else cut_postgres()


def cut_postgres() -> str:
    """Cut every connection to the drill's own database but the one that says so."""
    cut = db.session.execute(
        text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    ).scalar_one()
    db.session.rollback()
    return f"{cut} connections to the database cut"


def lock_sqlite(url: str, *, seconds: float) -> str:
    """Keep every other writer out for a while."""
    connection = sqlite3.connect(str(make_url(url).database), timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()
    return f"the database was locked for {seconds:.1f} s"


def double_messages(_stage: Stage, campaign_id: int, dice: Random) -> str:
    """Publish tasks again that are waiting, running, or done."""
    numbers = list(db.session.scalars(select(Batch.number).where(Batch.campaign_id == campaign_id)))
    db.session.rollback()
    again = dice.sample(numbers, min(8, len(numbers)))
    published = sum(enqueue(send_batch, campaign_id, number) for number in again * 2)
    published += sum(enqueue(task, campaign_id, *more) for task, *more in ((publish_round,), (record_totals, 1)))
    return f"{published} messages published that had been before"


def drop_messages(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return f"{stage.drop_messages(dice.randint(1, 30))} messages taken out of the queues"


def pause_and_resume(stage: Stage, campaign_id: int, dice: Random) -> str:
    if not pause(campaign_id, reason="drill"):
        return "pause: the campaign was not sending"
    seconds = dice.uniform(0.5, 3)
    stage.watch(seconds)
    resume(campaign_id)
    enqueue(publish_round, campaign_id)
    return f"paused for {seconds:.1f} s"


def close_the_mail_server(stage: Stage, _campaign_id: int, dice: Random) -> str:
    seconds = dice.uniform(0.5, 3)
    stage.sink.refuse()
    stage.watch(seconds)
    stage.sink.listen()
    return f"the mail server was away for {seconds:.1f} s"


def slow_the_mail_server(stage: Stage, _campaign_id: int, dice: Random) -> str:
    seconds, usual = dice.uniform(1, 3), stage.sink.pause_seconds
    stage.sink.pause_seconds = 0.5
    stage.watch(seconds)
    stage.sink.pause_seconds = usual
    return f"the mail server answered slowly for {seconds:.1f} s"


def cut_before_the_dot(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _arrange(stage, Step.BEFORE_DOT, dice.randint(1, 3), "connections lost in mid-content")


def cut_after_the_dot_kept(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _arrange(stage, Step.AFTER_DOT_KEPT, dice.randint(1, 3), "mails accepted and the connection lost")


def cut_after_the_dot_lost(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _arrange(stage, Step.AFTER_DOT_LOST, dice.randint(1, 3), "connections lost after the final dot, mail gone")


def refuse_recipients_for_now(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.RCPT, dice.randint(3, 30), "451 4.7.1 Greylisted, come back later")


def refuse_recipients_for_good(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.RCPT, dice.randint(3, 30), "550 5.1.1 No such user")


def refuse_the_sender_for_now(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.MAIL, dice.randint(1, 3), "451 4.3.0 Temporary lookup failure")


def refuse_the_sender(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.MAIL, dice.randint(1, 2), "550 5.7.1 Sender not allowed")


def close_politely(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.MAIL, dice.randint(1, 4), "421 4.3.2 Shutting down")


def refuse_content_for_now(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.CONTENT, dice.randint(1, 10), "452 4.3.1 Insufficient storage")


def refuse_content_for_good(stage: Stage, _campaign_id: int, dice: Random) -> str:
    return _refuse(stage, Step.CONTENT, dice.randint(1, 10), "554 5.6.0 Message refused")


def _arrange(stage: Stage, step: Step, times: int, words: str) -> str:
    stage.sink.arrange(Mischief(step, times))
    return f"{times} {words}"


def _refuse(stage: Stage, step: Step, times: int, reply: str) -> str:
    stage.sink.arrange(Mischief(step, times, reply))
    return f"{times} times at {step.value}: {reply}"


FAULTS: tuple[Fault, ...] = (
    kill_a_sender,
    kill_every_worker,
    kill_the_work_lane,
    stop_a_sender,
    roll_every_worker,
    kill_redis,
    flush_redis,
    break_the_database,
    double_messages,
    drop_messages,
    pause_and_resume,
    close_the_mail_server,
    slow_the_mail_server,
    cut_before_the_dot,
    cut_after_the_dot_kept,
    cut_after_the_dot_lost,
    refuse_recipients_for_now,
    refuse_recipients_for_good,
    refuse_the_sender_for_now,
    refuse_the_sender,
    close_politely,
    refuse_content_for_now,
    refuse_content_for_good,
)
