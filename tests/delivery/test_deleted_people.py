"""People who are deleted leave the ledger at that moment, whichever way that comes, also while it is being filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, text, update

from campaigns.accounts.models import User
from campaigns.accounts.services import delete_account
from campaigns.audience.services import delete_user
from campaigns.delivery import launch, states
from campaigns.delivery.attempts import tell
from campaigns.delivery.freeze import freeze_audience
from campaigns.delivery.models import AttemptOutcome, Delivery, DeliveryAttempt
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.extensions import db
from campaigns.reports.report_queries import mails_of_user
from tests.delivery.campaigns import launch_and_freeze, make_campaign, send_round
from tests.parts import PATIENCE_SECONDS, wait_until
from tests.people import PASSWORD, make_user, make_users
from tests.smtp_sink import Sink

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
BY_SQL = text("DELETE FROM users WHERE id = :id")


def in_the_ledger(campaign_id: int) -> dict[str, tuple[int | None, str, str | None]]:
    """Return (user id, state, reason) by address."""
    db.session.rollback()
    rows = db.session.scalars(select(Delivery).where(Delivery.campaign_id == campaign_id).order_by(Delivery.position))
    return {row.address: (row.user_id, row.state, row.reason) for row in rows}


def delete_by_sql(user_id: int) -> None:
    """Delete as somebody at the database's own prompt does, where SQLite looks at no foreign keys."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.execute(BY_SQL, {"id": user_id})
        connection.invalidate()


def delete_several(user_id: int) -> None:
    db.session.execute(delete(User).where(User.id >= user_id))
    db.session.commit()


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "delete_person",
    [
        lambda user_id: delete_user(user_id, keep_out=True),
        lambda user_id: delete_account(user_id, password=PASSWORD),
        delete_by_sql,
        delete_several,
    ],
    ids=["by those who run the site", "by themselves", "by SQL", "with others"],
)
def test_whoever_is_deleted_leaves_every_campaign_with_what_was_tried(
    app: Flask, delete_person: Callable[[int], None]
) -> None:
    stays, goes = make_user("stays@example.com"), make_user("goes@example.com", password=True)
    campaigns, stays_id, goes_id = [launch_and_freeze(), launch_and_freeze()], stays.id, goes.id
    tell(AttemptOutcome.UNCERTAIN)
    db.session.commit()
    delete_person(goes_id)
    for campaign_id in campaigns:
        assert in_the_ledger(campaign_id) == {
            "stays@example.com": (stays_id, "waiting", None),
            "goes@example.com": (None, "waiting", None),
        }
        assert campaign_totals(campaign_id) == ledger_totals(campaign_id)
    kept = select(DeliveryAttempt.campaign_id, DeliveryAttempt.position).order_by(DeliveryAttempt.campaign_id)
    assert [tuple(row) for row in db.session.execute(kept)] == [(campaign_id, 1) for campaign_id in campaigns]
    assert mails_of_user(make_user("new@example.com").id) == []


@pytest.mark.both_databases
def test_a_row_of_nobody_is_shown_skipped_and_left(app: Flask, owner_client: FlaskClient, sink: Sink) -> None:
    """As a process of the version before leaves it when it freezes while somebody is being deleted."""
    make_users(2)
    campaign_id = launch_and_freeze()
    db.session.execute(update(Delivery).where(Delivery.position == 2).values(user_id=4_000_000))
    db.session.commit()
    for page in ("report", "report/people/2", "report/people?q=person1@example.com", "progress"):
        assert owner_client.get(f"/campaigns/{campaign_id}/{page}").status_code == 200, page
    send_round(campaign_id)
    assert sorted(mail.recipient for mail in sink.mails) == ["ada@example.com", "person2@example.com"]
    assert in_the_ledger(campaign_id)["person1@example.com"] == (None, "skipped", "deleted")
    assert campaign_totals(campaign_id) == ledger_totals(campaign_id)


def start(executor: ThreadPoolExecutor, app: Flask, work: Callable[[], object]) -> Future[object]:
    """Do this beside the test, on a connection of its own."""

    def run() -> object:
        with app.app_context():
            try:
                return work()
            finally:
                db.session.remove()

    return executor.submit(run)


def prepare(**values: object) -> int:
    """Launch a campaign that is only to be frozen yet; returns its id."""
    campaign_id = make_campaign(**values)
    launch.launch_now(campaign_id, by=None, launch_key=f"key-{campaign_id}", hold_seconds=0)
    assert states.begin_preparing(campaign_id)
    db.session.remove()
    return campaign_id


def waiting(kind: str) -> int:
    """Return how many transactions wait for a kind of lock in this database."""
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    query = text(f"SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = :kind AND {here}")
    with db.engine.connect() as connection:
        return int(connection.scalar(query, {"kind": kind}) or 0)


@contextmanager
def freezes_held() -> Iterator[None]:
    """Let every freeze wait when it has filled the ledger, and wants to write down how many it counted."""
    with db.engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE frozen_audience IN SHARE MODE")
        yield


@on_postgresql
def test_a_deletion_waits_for_a_freeze_and_leaves_its_row(app: Flask, sink: Sink) -> None:
    """The author of the campaign, too, whom it loses when they go: the two do not wait for each other."""
    people = make_users(3)
    goes, excluded = people[1].id, make_user("new@example.com", verified=False).id
    campaign_id = prepare(created_by_id=goes)
    with ThreadPoolExecutor(3) as executor:
        with freezes_held():
            freezing = start(executor, app, lambda: freeze_audience(campaign_id))
            wait_until(lambda: waiting("relation"), what="the freeze to have filled the ledger")
            deleting = [start(executor, app, lambda each=each: delete_by_sql(each)) for each in (goes, excluded)]
            wait_until(lambda: waiting("advisory") == 2, what="both deletions to wait for the freeze")
        assert freezing.result(PATIENCE_SECONDS)
        assert [each.result(PATIENCE_SECONDS) for each in deleting] == [None, None]
    assert in_the_ledger(campaign_id)["new@example.com"] == (None, "excluded", "unverified")
    send_round(campaign_id)
    assert sorted(mail.recipient for mail in sink.mails) == ["person1@example.com", "person3@example.com"]
    assert in_the_ledger(campaign_id)["person2@example.com"] == (None, "skipped", "deleted")


@on_postgresql
def test_a_freeze_waits_for_a_deletion_and_does_not_find_them(app: Flask) -> None:
    people = make_users(3)
    goes, campaign_id = people[1].id, prepare()
    with ThreadPoolExecutor(1) as executor, db.engine.connect() as deleting:
        deleting.execute(BY_SQL, {"id": goes})
        freezing = start(executor, app, lambda: freeze_audience(campaign_id))
        wait_until(lambda: freezing.done() or waiting("advisory"), what="the freeze to wait for the deletion")
        deleting.commit()
        assert freezing.result(PATIENCE_SECONDS)
    assert list(in_the_ledger(campaign_id)) == ["person1@example.com", "person3@example.com"]


@on_postgresql
def test_two_freezes_do_not_wait_for_each_other(app: Flask) -> None:
    make_users(3)
    both = [prepare(), prepare()]
    with ThreadPoolExecutor(2) as executor:
        with freezes_held():
            freezing = [start(executor, app, lambda each=each: freeze_audience(each)) for each in both]
            wait_until(lambda: waiting("relation") == 2, what="both freezes to have filled the ledger")
        assert all(each.result(PATIENCE_SECONDS) for each in freezing)
