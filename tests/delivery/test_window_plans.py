"""How PostgreSQL goes about a window: with the plan that it keeps for all windows, on a table it knows nothing of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from campaigns.delivery import launch, ledger
from campaigns.delivery.claims import Settlement
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.tasks import end_hold
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.people import make_users

D = DeliveryState
JOINS = {"Nested Loop", "Hash Join", "Merge Join"}
PEOPLE, WINDOW = 12_000, 300
BATCH = PEOPLE // 20
LEASE_FOR = timedelta(seconds=30)
# What auto_explain says goes to the client, for each statement, with the rows that each step has really gone through.
TELL_PLANS = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_analyze = on;
    SET auto_explain.log_timing = off;
    SET auto_explain.log_format = json;
    SET plan_cache_mode = force_generic_plan;
    SET client_min_messages = log
"""


def accepted(position: int) -> Settlement:
    return Settlement(position, D.SENT, reply=f"250 2.0.0 Ok: queued as {position}")


def refused(position: int) -> Settlement:
    return Settlement(position, D.FAILED, "mailbox_unavailable", "550 5.1.1 No such user")


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize("outcome_of", [accepted, refused])
def test_a_window_is_gone_through_once_and_not_once_for_each_of_its_people(app, outcome_of):
    lease = ledger.take_lease(launch_on_a_table_that_looks_empty(), 1, worker="one", lease_for=LEASE_FOR)
    assert lease
    first = ledger.settle_and_claim(lease, (), size=WINDOW, lease_for=LEASE_FOR)
    with told_plans() as plans:
        settlements = [outcome_of(recipient.position) for recipient in first]
        second = ledger.settle_and_claim(lease, settlements, size=WINDOW, lease_for=LEASE_FOR)
    assert len(first) == len(second) == WINDOW
    settling, _claiming = (plan for plan in plans if "UPDATE delivery SET state" in plan["Query Text"])
    # Before it knows the table it takes the wrong way to join what nearly every mail becomes: there is nothing to join.
    assert outcome_of is refused or not [step for step in steps(settling["Plan"]) if step["Node Type"] in JOINS]
    assert not [plan for plan in plans for step in steps(plan["Plan"]) if rows_gone_through(step) > BATCH]


def launch_on_a_table_that_looks_empty() -> int:
    """As when PostgreSQL has looked at it by itself in the middle of the freeze."""
    make_users(PEOPLE)
    launch_and_freeze()
    db.session.execute(text("DELETE FROM delivery"))
    db.session.execute(text("ANALYZE delivery"))
    db.session.commit()
    campaign_id = make_campaign()
    launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=0)
    end_hold(campaign_id)
    return campaign_id


@contextmanager
def told_plans() -> Iterator[list[dict[str, Any]]]:
    """Collect the plan of every statement that PostgreSQL runs meanwhile, with what it has really done."""
    plans: list[dict[str, Any]] = []

    def keep(diagnostic: Any) -> None:
        _, is_plan, plan = diagnostic.message_primary.partition("plan:\n")
        if is_plan:
            plans.append(json.loads(plan))

    def begin(connection: Any, _record: Any) -> None:
        connection.execute(TELL_PLANS)
        connection.commit()
        connection.add_notice_handler(keep)

    db.engine.dispose()
    event.listen(db.engine, "connect", begin)
    yield plans
    event.remove(db.engine, "connect", begin)
    db.engine.dispose()


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


def rows_gone_through(step: dict[str, Any]) -> int:
    """Return how many rows a step has read, whether it gave them on or not."""
    removed = sum(rows for name, rows in step.items() if name.startswith("Rows Removed by"))
    return int((step["Actual Rows"] + removed) * step["Actual Loops"])
