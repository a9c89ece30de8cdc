"""One experiment: the drill's stage with real processes, a campaign on it, and the verdict at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.celery import enqueue
from campaigns.config import Settings
from campaigns.delivery.queries import Totals, campaign_totals
from campaigns.delivery.states import state_of
from campaigns.delivery.tasks import end_hold
from campaigns.extensions import db
from campaigns.ops.drill import launch_drill_campaign, shorten_pauses
from campaigns.ops.drill_record import read_record
from campaigns.ops.drill_stage import Stage
from campaigns.ops.drill_verdict import Verdict, judge
from campaigns.ops.processes import ProcessPlan, working_processes
from campaigns.patience import while_database_returns
from tests.parts import PATIENCE_SECONDS


@dataclass
class Experiment:
    """The stage, and short words for what most experiments do."""

    settings: Settings
    stage: Stage
    campaign_id: int = 0

    def start(self, *names: str) -> None:
        """Start the processes of these names: of the installation's plan, one sender and no outbox if none is named."""
        self.stage.start()
        self.start_more(*(names or ("mail.bulk-1", "work", "beat")))

    def start_more(self, *names: str, extra: Sequence[str] = (), **changed: str) -> None:
        """Start processes of the installation's plan, with some words of their command lines changed or added."""
        for plan in working_processes(self.settings):
            if plan.name in names:
                arguments = [changed.get(word, word) for word in plan.arguments]
                self.start_plan(ProcessPlan(plan.name, [*arguments, *extra]))

    def start_plan(self, plan: ProcessPlan) -> None:
        self.stage.supervisor.start(plan, plan.log_path(self.settings))

    def launch(self, recipients: int, *, milliseconds_each: float = 120) -> None:
        """Launch a campaign; the mail server takes that long for each mail on each connection.

        Slow enough that a test which stumbles for seconds still finds the campaign in the middle.
        """
        self.stage.sink.pause_seconds = milliseconds_each / 1000
        self.campaign_id = launch_drill_campaign(recipients)
        enqueue(end_hold, self.campaign_id)

    def wait_for_mails(self, count: int) -> None:
        """Wait until the mail server has accepted that many mails in all."""
        sink = self.stage.sink
        self.wait_until(lambda: sink.accepted >= count, what=lambda: f"{count} mails, {sink.accepted} came")

    def wait_for_process(self, name: str) -> None:
        """Wait until that process runs (again)."""
        self.wait_until(lambda: self.stage.child(name).process is not None, what=f"{name} to run")

    def wait_for_end(self, *, seconds: float = 180) -> Verdict:
        """Wait until the campaign has ended and nobody has anything left to say, and judge it.

        From here on the mail server takes no time: what was to happen in the middle of the campaign has happened.
        """
        self.stage.sink.pause_seconds = 0
        self.wait_until(self.has_ended, seconds=seconds, what=lambda: f"the end, {self.totals()}")
        self.stage.watch(1)
        self.wait_until(lambda: not any(self.settings.journal_dir.glob("*.journal")), what="the journals")
        return self.verdict()

    def verdict(self) -> Verdict:
        db.session.rollback()
        record = read_record(self.stage.record_path)
        return judge(self.campaign_id, record, most_uncertain=self.stage.most_uncertain)

    def totals(self) -> Totals:
        db.session.rollback()
        return while_database_returns(lambda: campaign_totals(self.campaign_id))

    def has_ended(self) -> bool:
        db.session.rollback()
        while_database_returns(lambda: shorten_pauses(self.campaign_id))
        return while_database_returns(lambda: state_of(self.campaign_id)) in {"sent", "cancelled"}

    def wait_until(
        self, condition: Callable[[], Any], *, seconds: float = 0, what: str | Callable[[], str] = ""
    ) -> None:
        """Let time pass, looking after the processes, until the condition holds; fail when it never does.

        As everywhere, it waits no less than a busy machine may take for anything.
        """
        seconds = max(seconds, PATIENCE_SECONDS)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (
                f"waited {seconds} s in vain for {what if isinstance(what, str) else what()}"
            )
            self.stage.watch(0.2)

    def pid(self, name: str) -> int:
        process = self.stage.child(name).process
        assert process is not None
        return process.pid


def new_person(name: str) -> dict[str, str]:
    """Return what somebody types who signs up."""
    return {"email": f"{name}@example.com", "password": "a long and quiet river", "name": name.title()}


def environment(folder: str, database_url: str, port: int, *, chunking: bool = False, **more: str) -> Mapping[str, str]:
    """Return the environment of one experiment's processes; with `chunking` contents are handed over with BDAT."""
    return {
        "TESTING": "true",
        "INSTANCE_DIR": folder,
        "DATABASE_URL": database_url,
        "SECRET_KEY": "a-key-for-tests-only",
        "MAIL_SERVERS": f"smtp://127.0.0.1:{port}?chunking={'yes' if chunking else 'no'}",
        "PUBLIC_BASE_URL": "http://carillon.example.test",
        "HOLD_SECONDS": "0",
        "BATCH_SIZE": "100",
        "LEASE_SECONDS": "5",
        "RECONCILE_SECONDS": "2",
        "BRAKE_FAILED_PERCENT": "0",
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "warning",
        **more,
    }
