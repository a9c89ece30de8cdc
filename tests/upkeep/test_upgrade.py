"""From each release to this one: what was there is there, and a campaign that was being sent goes on where it stood.

`releases/` holds what a release left behind when its sender was killed: 300 people, 100 mails settled, 50 claimed, of
which 16 were answered (as its journal tells) and one, person116, was on its way.
"""

from __future__ import annotations

import gzip
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, inspect, make_url, select

from app import create_app
from campaigns.compose.models import Campaign
from campaigns.delivery.models import Delivery
from campaigns.extensions import db
from campaigns.ops.drill_record import read_record
from campaigns.ops.processes import working_processes
from tests import parts
from tests.drill.conftest import make_experiment  # noqa: F401 - a fixture
from tests.drill.harness import Experiment
from tests.people import PASSWORD

RELEASES = Path(__file__).parent / "releases"
RELEASE_NAMES = sorted({path.name.rsplit(".", 3)[0] for path in RELEASES.glob("*.sql.gz")})
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture
def old_database(database_kind: str, release: str, tmp_path: Path) -> Iterator[str]:
    """A database as the release left it."""
    script = gzip.decompress((RELEASES / f"{release}.{database_kind}.sql.gz").read_bytes()).decode()
    if database_kind == "sqlite":
        path = tmp_path / "old.sqlite"
        connection = sqlite3.connect(path)
        connection.executescript(script)
        connection.close()
        yield f"sqlite:///{path}"
    else:
        yield from postgres_of(script)


@pytest.fixture
def database_url(old_database: str) -> str:
    return old_database


def postgres_of(script: str) -> Iterator[str]:
    for url in parts.empty_postgres_database(f"carillon_old_{os.getpid()}"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(script)  # type: ignore[call-overload]
        yield url


def flask(experiment: Experiment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", "--app", "app", *arguments]
    return subprocess.run(
        command, cwd=parts.ROOT, env=dict(experiment.stage.environ), capture_output=True, text=True, check=False
    )


def put_journal(experiment: Experiment, database_kind: str, release: str) -> None:
    """Leave the killed sender's journal where it lay, as if the machine had not been started again since."""
    text = (RELEASES / f"{release}.{database_kind}.journal").read_text()
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", BOOT_ID.read_text().strip(), text, count=1)
    (experiment.settings.journal_dir / "1-000000000000.journal").write_text(text)


@pytest.mark.both_databases
@pytest.mark.timeout(300)
@pytest.mark.parametrize("release", RELEASE_NAMES)
def test_a_campaign_that_was_being_sent_goes_on(
    make_experiment: Callable[..., Experiment],  # noqa: F811
    database_kind: str,
    release: str,
) -> None:
    experiment = make_experiment()
    put_journal(experiment, database_kind, release)
    experiment.start()  # too early: the new program is there, and its database is not
    names = ("mail.bulk-1", "work", "beat")
    logs = [plan.log_path(experiment.settings) for plan in working_processes(experiment.settings) if plan.name in names]
    waiting = "waiting for `flask upgrade`: the database stands at migration 0001"
    parts.wait_until(lambda: all(waiting in log.read_text() for log in logs), what="all three to wait")
    upgraded = flask(experiment, "upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert "Saved the database" in upgraded.stderr
    assert "up to date already" in flask(experiment, "upgrade").stderr

    experiment.campaign_id = 1
    experiment.wait_until(experiment.has_ended, seconds=120, what=lambda: f"the end, {experiment.totals()}")
    totals = experiment.totals()
    assert totals.candidates == 300
    assert (totals.sent, totals.uncertain) == (299, 1)
    arrived = [mail.recipient for mail in read_record(experiment.stage.record_path)]
    assert sorted(arrived) == sorted(f"person{number}@example.com" for number in range(117, 300))
    assert db.session.scalar(select(func.count()).select_from(Delivery)) == 300
    assert db.session.scalar(select(Campaign.state).where(Campaign.subject == "A draft")) == "draft"
    assert [log.name for log in logs if "Traceback" in log.read_text()] == []


def test_a_database_that_cannot_hold_every_letter_is_refused_in_words(postgres_database: str, tmp_path: Path) -> None:
    """As `createdb` makes it on a machine without a locale."""
    name = f"carillon_ascii_{os.getpid()}"
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")  # type: ignore[arg-type]
        url = make_url(postgres_database).set(database=name).render_as_string(hide_password=False)
        environ = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "INSTANCE_DIR": str(tmp_path / "instance")}
        command = [sys.executable, "-m", "flask", "--app", "app", "upgrade"]
        done = subprocess.run(command, cwd=parts.ROOT, env=environ, capture_output=True, text=True, check=False)
        connection.execute(f"DROP DATABASE {name}")  # type: ignore[arg-type]
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: The database is in SQL_ASCII, and has to be in UTF8.")


@pytest.fixture
def old_site(make_experiment: Callable[..., Experiment]) -> Experiment:  # noqa: F811
    """The application of this version on the database of the release."""
    return make_experiment()


@pytest.mark.both_databases
@pytest.mark.parametrize("release", RELEASE_NAMES)
def test_an_upgrade_that_breaks_off_leaves_nothing_half_done(old_site: Experiment, release: str) -> None:
    with db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE user_count (in_the_way INTEGER)")
    assert flask(old_site, "upgrade", "--no-backup").returncode != 0
    assert inspect(db.engine).get_columns("user_count")[0]["name"] == "in_the_way"
    assert not inspect(db.engine).has_table("audit_entry")
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE user_count")
    assert flask(old_site, "upgrade", "--no-backup").returncode == 0


@pytest.mark.parametrize("release", RELEASE_NAMES)
@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_an_upgrade_that_collides_with_what_still_runs_tries_again(old_site: Experiment, release: str) -> None:
    """An old process has changed a campaign and wants people; the upgrade has locked people and wants campaigns."""
    with db.engine.connect() as old, db.engine.connect() as looking, ThreadPoolExecutor(1) as other:
        old.exec_driver_sql("SET deadlock_timeout = '1min'")  # so that it is the upgrade that is told
        old.exec_driver_sql("UPDATE campaign SET subject = subject")
        upgrading = other.submit(flask, old_site, "upgrade", "--no-backup")
        looking = looking.execution_options(isolation_level="AUTOCOMMIT")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'campaign'::regclass"
        parts.wait_until(lambda: looking.exec_driver_sql(waits).scalar(), what="the upgrade to wait for us")
        old.exec_driver_sql("UPDATE users SET name = name")  # it gives way, or this would wait for a minute
        old.commit()
        done = upgrading.result(timeout=150)
    assert done.returncode == 0, done.stderr
    assert "up to date already" in flask(old_site, "upgrade").stderr


@pytest.mark.both_databases
@pytest.mark.parametrize("release", RELEASE_NAMES)
def test_people_and_pages_are_there(make_experiment: Callable[..., Experiment], release: str) -> None:  # noqa: F811
    experiment = make_experiment()
    assert flask(experiment, "upgrade", "--no-backup").returncode == 0
    app = create_app(experiment.settings)
    with app.app_context():
        from tests.pages import submit

        client = app.test_client()
        assert submit(client, "/login", {"email": "ada@example.com", "password": PASSWORD}).status_code == 303
        for page in ("/", "/campaigns", "/campaigns/1/progress", "/users", "/account"):
            assert client.get(page).status_code == 200, page
    app.extensions["celery"].close()
