"""The ledger is of one moment: who changes while it is being filled is in it once, as they were or as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, event, select, text

from campaigns.audience.models import Suppression
from campaigns.clock import utcnow
from campaigns.delivery.models import Batch, Delivery
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.people import make_user, make_users
from tests.smtp_sink import Sink

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)  # SQLite has one writer

UNSUBSCRIBE = "UPDATE users SET unsubscribed_at = now() WHERE email = 'changes@example.com'"
SUPPRESS = """
    INSERT INTO suppression (address_key, reason, detail, created_at)
    VALUES ('changes@example.com', 'hard_bounce', '', now())
"""
VERIFY = "UPDATE users SET verified_at = now() WHERE email = 'changes@example.com'"
RESUME = "UPDATE users SET unsubscribed_at = NULL WHERE email = 'changes@example.com'"
LIFT = "DELETE FROM suppression WHERE address_key = 'changes@example.com'"
JOIN = """
    INSERT INTO users (email, address_key, name, attributes, created_at, updated_at, verified_at)
    VALUES ('joins@example.com', 'joins@example.com', '', '{}', now(), now(), now())
"""


@contextmanager
def others_commit(when: str, statement: str) -> Iterator[list[str]]:
    """Let somebody else commit a statement before or after the first that fills the ledger; yields what they did."""
    done: list[str] = []

    def commit(_connection: Connection, _cursor: Any, running: str, *_: Any) -> None:
        if running.startswith("INSERT INTO delivery ") and not done:
            done.append(statement)
            with db.engine.connect() as other:
                other.execute(text(statement))
                other.commit()

    event.listen(db.engine, when, commit)
    try:
        yield done
    finally:
        event.remove(db.engine, when, commit)


def freeze_while(when: str, statement: str) -> int:
    with others_commit(when, statement) as done:
        campaign_id = launch_and_freeze()
    assert done
    return campaign_id


def row_of(address: str) -> tuple[str, str | None]:
    row = db.session.execute(select(Delivery.state, Delivery.reason).where(Delivery.address == address)).one()
    return row.state, row.reason


def check_ledger(campaign_id: int, *, candidates: int) -> None:
    """Everybody is in it once, recipients first and all of them in batches, and everything that counts agrees."""
    query = select(Delivery.position, Delivery.state).where(Delivery.campaign_id == campaign_id)
    rows = db.session.execute(query.order_by(Delivery.position)).all()
    assert [row.position for row in rows] == list(range(1, candidates + 1))
    totals = campaign_totals(campaign_id)
    assert [row.state == "excluded" for row in rows] == [False] * totals.recipients + [True] * totals.excluded
    assert totals == ledger_totals(campaign_id)
    assert totals.candidates == candidates
    assert totals.balances
    batches = db.session.execute(select(Batch.first_position, Batch.last_position)).all()
    assert sum(last - first + 1 for first, last in batches) == totals.recipients


@pytest.mark.parametrize("statement", [UNSUBSCRIBE, SUPPRESS], ids=["unsubscribed", "suppressed"])
def test_who_may_get_nothing_any_more_stays_a_recipient_and_is_skipped(app: Flask, sink: Sink, statement: str) -> None:
    make_users(2)
    make_user("changes@example.com")
    make_user("new@example.com", verified=False)
    campaign_id = freeze_while("after_cursor_execute", statement)
    assert row_of("changes@example.com") == ("waiting", None)
    check_ledger(campaign_id, candidates=4)
    send_round(campaign_id)
    assert sorted(mail.recipient for mail in sink.mails) == ["person1@example.com", "person2@example.com"]
    assert row_of("changes@example.com")[0] == "skipped"


def unverified() -> None:
    make_user("changes@example.com", verified=False)


def unsubscribed() -> None:
    make_user("changes@example.com", unsubscribed_at=utcnow())


def suppressed() -> None:
    make_user("changes@example.com")
    db.session.add(Suppression(address_key="changes@example.com", reason="hard_bounce"))
    db.session.commit()


@pytest.mark.parametrize(
    ("make", "statement"),
    [(unverified, VERIFY), (unsubscribed, RESUME), (suppressed, LIFT)],
    ids=["verified", "resumed", "lifted"],
)
def test_who_may_get_it_now_is_a_candidate_with_the_reason_of_then(
    app: Flask, make: Callable[[], None], statement: str
) -> None:
    make_users(2)
    make()
    campaign_id = freeze_while("after_cursor_execute", statement)
    assert row_of("changes@example.com") == ("excluded", make.__name__)
    check_ledger(campaign_id, candidates=3)


@pytest.mark.parametrize(("when", "candidates"), [("before_cursor_execute", 4), ("after_cursor_execute", 3)])
def test_who_joins_is_a_candidate_or_is_not(app: Flask, when: str, candidates: int) -> None:
    make_users(2)
    unverified()
    campaign_id = freeze_while(when, JOIN)
    check_ledger(campaign_id, candidates=candidates)
