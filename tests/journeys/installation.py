"""One running installation for all journeys: web site, workers of every lane, beat and catcher, started once.

Test processes that run side by side share it; the last one to leave ends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import select

from app import create_app
from campaigns.accounts.models import User
from campaigns.config import load_settings
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.extensions import db
from campaigns.ops.inbox import inbox_path, newest_id, read_page
from tests import parts
from tests.ops.running import Running, processes_of
from tests.people import make_user, make_users

HOLD_SECONDS = 12  # long enough to press a button on a busy machine
CONFIRM_FROM = 20
PEOPLE = 24
SENDERS = ("grace", "keyes", "pat")
START_SECONDS = 150
END_SECONDS = 90

Value = TypeVar("Value")


@dataclass(frozen=True)
class Installation:
    """Where it is, and a look behind its pages."""

    url: str
    folder: Path  # also where its processes are told apart from all others
    process: int
    setup_link: str

    @property
    def inbox(self) -> Path:
        """The file of the mails that the catcher took."""
        return inbox_path(self.folder)

    def newest_mail(self) -> int:
        """Return the id of the newest mail, 0 when there is none."""
        return newest_id(self.inbox)

    def arrivals(self, words: str) -> dict[str, int]:
        """Return how many mails each address has got whose subject has these words; tests are not counted."""
        query = "SELECT recipient, COUNT(*) FROM mail WHERE subject LIKE ? AND subject NOT LIKE '[%' GROUP BY recipient"
        with closing(sqlite3.connect(self.inbox, timeout=30)) as connection:
            return {str(address): int(count) for address, count in connection.execute(query, (f"%{words}%",))}

    def recipients(self, campaign_id: int) -> set[str]:
        """Return the addresses in a campaign's ledger that it goes to."""
        query = select(Delivery.address).where(Delivery.campaign_id == campaign_id)
        query = query.where(Delivery.state != DeliveryState.EXCLUDED)
        return self.ask(lambda: set(db.session.scalars(query)))

    def wait_for_mail(self, address: str, *, since: int) -> int:
        """Wait for a mail to an address and return its id."""

        def arrived() -> int:
            mails = read_page(self.inbox, search=address).mails
            return max((mail.id for mail in mails if mail.id > since), default=0)

        return int(parts.wait_until(arrived, seconds=60, what=f"a mail to {address}"))

    def add_user(self, address: str, **values: Any) -> None:
        """Add a verified user with the password of all tests."""
        self.ask(lambda: make_user(address, password=True, **values))

    def is_unsubscribed(self, address: str) -> bool:
        """Tell whether the person with that address gets no announcements."""
        query = select(User.unsubscribed_at).where(User.address_key == address)
        return self.ask(lambda: db.session.execute(query).scalar_one() is not None)

    def ask(self, question: Callable[[], Value]) -> Value:
        """Call a function inside an application on the installation's database."""
        environ = {"INSTANCE_DIR": str(self.folder), "LOG_LEVEL": "error", "LOG_FORMAT": "text"}
        app = create_app(load_settings(environ))
        with app.app_context():
            answer = question()
            db.session.remove()
            db.engine.dispose()
        app.extensions["celery"].close()
        return answer

    @contextmanager
    def frozen(self, words: str) -> Iterator[None]:
        """Hold still the processes whose command line has these words."""
        found = [pid for pid, line in processes_of(self.folder).items() if words in line]
        assert found, f"no process with {words}"
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in found:
                os.kill(pid, signal.SIGCONT)


def share_installation(folder: Path) -> Iterator[Installation]:
    """Yield the installation of this test run, starting it when nobody has, and ending it when nobody needs it."""
    folder.mkdir(exist_ok=True)
    told, starting = folder / "told.json", (folder / "starting").open("w")
    using = (folder / "using").open("w")
    with using, starting:
        with _locked(starting):
            fcntl.flock(using, fcntl.LOCK_SH)
            if not told.exists():
                told.write_text(json.dumps(_start(folder)))
        found = json.loads(told.read_text())
        installation = Installation(**{**found, "folder": Path(found["folder"])})
        yield installation
        with _locked(starting):
            if _is_last(using):
                told.unlink()
                _end(installation)


def _start(folder: Path) -> dict[str, Any]:
    if not Path("/proc/self/environ").exists():
        parts.skip("the journeys find processes in /proc, which this system does not have")
    home = folder / f"{time.time_ns()}"
    home.mkdir()
    environ = {"HOLD_SECONDS": str(HOLD_SECONDS), "CONFIRM_FROM": str(CONFIRM_FROM), "BATCH_SIZE": "5"}
    running = Running(home, **environ, LOG_LEVEL="warning")
    running.wait_until_said("/setup?token=", seconds=START_SECONDS)
    link = re.search(r"http\S+/setup\?token=\S+", running.said())
    assert link
    # It outlives this test process when another one still needs it, so nobody waits for it as for a child.
    running.process.returncode = 0
    url = f"http://127.0.0.1:{running.port}"
    return {"url": url, "folder": str(running.instance), "process": running.process.pid, "setup_link": link[0]}


def _end(installation: Installation) -> None:
    os.kill(installation.process, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while processes_of(installation.folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in processes_of(installation.folder):
        os.kill(pid, signal.SIGKILL)


def _is_last(using: IO[str]) -> bool:
    try:
        fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def first_people(installation: Installation) -> None:
    """Add the people whom the campaigns of the journeys go to, and those who send in English."""
    installation.ask(lambda: make_users(PEOPLE, language="ko"))
    for name in SENDERS:
        installation.add_user(f"{name}@example.com", name="Grace", role="sender", language="en")
