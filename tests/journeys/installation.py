"""One running installation for all journeys: web site, workers of every lane, beat, catcher and Flower, started once.

Where nginx is installed it stands behind it and TLS, as people meet it in production, with the site of
deploy/nginx.conf. Test processes that run side by side share it; the last one to leave ends it.
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
from tests.deploy.nginx import Nginx, find_nginx, write_site
from tests.ops.running import Running, processes_of
from tests.people import make_user, make_users
from tests.smtp_sink import free_port
from tests.standing_still import hold_still, let_go_on

HOLD_SECONDS = 3  # whoever takes back holds still what would end the hold
CONFIRM_FROM = 20
PEOPLE = 24
SENDERS = ("grace", "keyes", "pat")
START_SECONDS = 150
END_SECONDS = 90

Value = TypeVar("Value")


@dataclass(frozen=True)
class Installation:
    """Where it is, and a look behind its pages."""

    url: str  # as people reach it
    folder: Path  # also where its processes are told apart from all others
    processes: list[int]
    setup_link: str
    nginx: tuple[str, int, int] | None  # its folder, and the ports of http and https

    @property
    def front(self) -> Nginx:
        """The nginx that it stands behind; skips the test where there is none."""
        if self.nginx is None:
            parts.skip("nginx is not installed (apt-get install nginx)")
            raise AssertionError
        folder, http_port, https_port = self.nginx
        return Nginx(Path(folder), http_port, https_port)

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

    def recipients(self, campaign_id: int, *but: DeliveryState) -> set[str]:
        """Return the addresses in a campaign's ledger that it goes to, but those in some states."""
        query = select(Delivery.address).where(Delivery.campaign_id == campaign_id)
        query = query.where(Delivery.state.not_in([DeliveryState.EXCLUDED, *but]))
        return self.ask(lambda: set(db.session.scalars(query)))

    def each_got_one(self, campaign_id: int, words: str) -> bool:
        """Tell whether all got one mail of a campaign, but those who left in its middle, as others do here."""
        return self.arrivals(words) == dict.fromkeys(self.recipients(campaign_id, DeliveryState.SKIPPED), 1)

    def wait_for_mail(self, address: str, *, since: int, words: str = "") -> int:
        """Wait for a mail to an address, with these words in its subject, and return its id."""

        def arrived() -> int:
            mails = read_page(self.inbox, search=address).mails
            return max((mail.id for mail in mails if mail.id > since and words in mail.subject), default=0)

        return int(parts.wait_until(arrived, what=f"a mail to {address}"))

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
        """Hold still the processes whose command line has these words; one test after the other may do so."""
        with self.alone(words):
            found = [pid for pid, line in processes_of(self.folder).items() if words in line]
            assert found, f"no process with {words}"
            parts.wait_until(lambda: hold_still(found, self.folder / "carillon.sqlite"), what="a moment between writes")
            try:
                yield
            finally:
                let_go_on(found)

    @contextmanager
    def alone(self, words: str) -> Iterator[None]:
        """Keep the other test processes from doing what goes by these words."""
        with (self.folder.parent / f"alone{words.replace(' ', '-')}").open("w") as file, _locked(file):
            yield


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
    port, flower_port = free_port(), free_port()
    nginx = write_site(home, web_port=port, flower_port=flower_port) if find_nginx() else None
    environ = {"HOLD_SECONDS": str(HOLD_SECONDS), "CONFIRM_FROM": str(CONFIRM_FROM), "BATCH_SIZE": "5"}
    environ |= {"PORT": str(port), "FLOWER_PORT": str(flower_port), "LOG_LEVEL": "warning"}
    if nginx:
        environ |= {"PUBLIC_BASE_URL": nginx.url, "PROXY_HOPS": "1", "FLOWER_URL": f"{nginx.url}/flower"}
    running = Running(home, **environ)
    processes = [running.process, *([nginx.start(mark={"INSTANCE_DIR": str(running.instance)})] if nginx else [])]
    running.wait_until_said("/setup?token=", seconds=START_SECONDS)
    link = re.search(r"http\S+/setup\?token=\S+", running.said())
    assert link
    for process in processes:
        # It outlives this test process when another one still needs it, so nobody waits for it as for a child.
        process.returncode = 0
    return {
        "url": nginx.url if nginx else f"http://127.0.0.1:{port}",
        "folder": str(running.instance),
        "processes": [process.pid for process in processes],
        "setup_link": link[0],
        "nginx": [str(nginx.folder), nginx.http_port, nginx.https_port] if nginx else None,
    }


def _end(installation: Installation) -> None:
    for process in installation.processes:
        os.kill(process, signal.SIGTERM)
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
