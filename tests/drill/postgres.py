"""A PostgreSQL server of a test's own, which it may kill: that of the other tests is shared, and only cut off."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.parts import migrate, short_folder, skip
from tests.smtp_sink import free_port

INSTALLED = Path("/usr/lib/postgresql")  # where Debian keeps what it does not put on the PATH
OWNER = "postgres"


class PostgresServer:
    """One private server. `url` names its only database, which has no tables yet.

    `inside` begins the command line of what is to run in the server's network, where it listens at `address`; who is
    in another network of this machine reaches it by `socket_url`.
    """

    def __init__(self, programs: Path, folder: Path, *, inside: Sequence[str] = (), address: str = "127.0.0.1") -> None:
        self._programs, self._folder = programs, folder
        self._inside, self._address = inside, address
        self.port = free_port()
        self.url = f"postgresql://{OWNER}@{address}:{self.port}/postgres"
        self.socket_url = f"postgresql://{OWNER}@/postgres?host={folder}&port={self.port}"

    def start(self) -> None:
        """Make an empty server and wait until it answers."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, OWNER)
        self._run("initdb", "--username", OWNER, "--auth", "trust", "--no-sync", "--pgdata", str(self._data))
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")
        options = f"-p {self.port} -k {self._folder} -c listen_addresses={self._address}"
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
        as_owner = ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []  # it refuses to be run by root
        command = [*self._inside, *as_owner, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL)


def private_postgres(*, inside: Sequence[str] = (), address: str = "127.0.0.1") -> Iterator[PostgresServer]:
    """Start a migrated server of one's own, as PostgresServer has it; skips where no server is installed."""
    found = shutil.which("pg_ctl")
    installed = [Path(found).parent] if found else sorted(INSTALLED.glob("*/bin"), key=lambda path: path.parent.name)
    if not installed or not (installed[-1] / "initdb").exists():
        skip("no PostgreSQL server is installed here (initdb, pg_ctl)")
    server = PostgresServer(installed[-1], short_folder(), inside=inside, address=address)
    server.start()
    try:
        migrate(server.socket_url, short_folder())
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
