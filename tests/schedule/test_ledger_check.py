"""The weekly recount: a ledger that is other than recorded is said, until it is right again."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from campaigns.delivery import rounds
from campaigns.delivery.models import Batch, Delivery
from campaigns.extensions import db
from campaigns.reports.ledger_checks import check_ledgers
from campaigns.reports.models import LedgerDifference
from tests.delivery.campaigns import launch_and_freeze
from tests.people import make_users
from tests.reports.ledgers import NO_USER, settle_batch

pytestmark = pytest.mark.both_databases
ENGLISH = {"Accept-Language": "en"}


def ended_campaign(subject: str) -> int:
    campaign_id = launch_and_freeze(subject=subject)
    settle_batch(campaign_id, 1, NO_USER)
    assert rounds.finish(campaign_id) is rounds.Progress.DONE
    return campaign_id


def test_what_adds_up_is_not_spoken_of(app: Flask) -> None:
    make_users(4)
    ended_campaign("One")
    launch_and_freeze(subject="Still sending")
    assert check_ledgers() == {"campaigns": 1, "differences": 0}
    assert db.session.scalar(select(LedgerDifference.campaign_id)) is None


def test_what_does_not_add_up_is_said_until_it_does(owner_client: FlaskClient) -> None:
    make_users(4)
    campaign_id = ended_campaign("Odd one")
    ended_campaign("Fine one")
    row = (Delivery.campaign_id == campaign_id) & (Delivery.position == 2)
    db.session.execute(update(Delivery).where(row).values(state="failed"))
    db.session.commit()
    for _ in range(2):
        assert check_ledgers() == {"campaigns": 2, "differences": 1}
    terms = db.session.execute(select(LedgerDifference.terms)).scalar_one()
    assert terms == {"sent": [3, 4], "failed": [2, 1]}
    assert "“Odd one”: its ledger does not add up." in owner_client.get("/", headers=ENGLISH).text
    db.session.execute(update(Delivery).where(row).values(state="sent"))
    db.session.commit()
    assert check_ledgers() == {"campaigns": 2, "differences": 0}
    assert "does not add up" not in owner_client.get("/", headers=ENGLISH).text


def test_a_batch_that_counts_wrongly_is_found_too(app: Flask) -> None:
    make_users(4)
    campaign_id = ended_campaign("One")
    db.session.execute(update(Batch).where(Batch.campaign_id == campaign_id).values(sent=Batch.sent + 1))
    db.session.commit()
    assert check_ledgers()["differences"] == 1


def test_the_database_learns_what_its_tables_look_like(app: Flask) -> None:
    make_users(4)
    check_ledgers()
    if db.engine.dialect.name == "sqlite":
        known = db.session.execute(text("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'users'")).scalar()
    else:
        known = db.session.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'users'")).scalar()
    assert (known or 0) > 0
