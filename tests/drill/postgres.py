"""A PostgreSQL server of a test's own, which it may kill: that of the other tests is shared, and only cut off."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.parts import migrate, short_folder, skip
from tests.smtp_sink import free_port

INSTALLED = Path("/usr/lib/postgresql")  # where Debian keeps what it does not put on the PATH
OWNER = "postgres"


class PostgresServer:
    """One private server. `url` names its only database, which has no tables yet.

    With `also_at` it is reached at that address of ours too, by whoever can.
    """

    def __init__(self, programs: Path, folder: Path, *, also_at: str = "") -> None:
        self._programs, self._folder, self._also_at = programs, folder, also_at
        self._port = free_port()
        self.url = f"postgresql://{OWNER}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Make an empty server and wait until it answers."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, OWNER)
        self._run("initdb", "--username", OWNER, "--auth", "trust", "--no-sync", "--pgdata", str(self._data))
        addresses = "127.0.0.1"
        if self._also_at:
            addresses += f",{self._also_at}"
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self._also_at}/30 trust\n")
        options = f"-p {self._port} -k {self._folder} -c listen_addresses={addresses}"
        self._control("start", "--log", str(self._folder / "log"), "--options", options)

    def restart_at_once(self) -> None:
        """End it without a goodbye, as a kill does: it recovers from its log when it starts again."""
        self._control("restart", "--mode", "immediate", "--log", str(self._folder / "log"))

    def stop(self) -> None:
        self._control("stop", "--mode", "immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _control(self, verb: str, *arguments: str) -> None:
        self._run("pg_ctl", verb, "--wait", "--silent", "--pgdata", str(self._data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        who = {"user": OWNER} if os.geteuid() == 0 else {}  # it refuses to be run by root
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **who)  # type: ignore[call-overload]


def private_postgres(*, also_at: str = "") -> Iterator[PostgresServer]:
    """Start a migrated server of one's own; skips where no server is installed."""
    found = shutil.which("pg_ctl")
    installed = [Path(found).parent] if found else sorted(INSTALLED.glob("*/bin"), key=lambda path: path.parent.name)
    if not installed or not (installed[-1] / "initdb").exists():
        skip("no PostgreSQL server is installed here (initdb, pg_ctl)")
    server = PostgresServer(installed[-1], short_folder(), also_at=also_at)
    server.start()
    try:
        migrate(server.url, short_folder())
        yield server
    finally:
        server.stop()


@contextmanager
def database_away(url: str) -> Iterator[None]:
    """Cut every connection to a database and refuse new ones while the block runs."""
    server, _, name = url.replace("+psycopg", "").rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
