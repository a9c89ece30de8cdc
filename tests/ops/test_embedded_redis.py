"""Which server is started when REDIS_URL names none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from campaigns.config import load_settings
from campaigns.ops.embedded_redis import answers, end_leftover, find_server, redis_arguments
from tests.stopwatch import Stopwatch


def script(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


def test_the_machines_own_server_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0")
    valkey = script(tmp_path, "valkey-server", "Valkey server v=8.1.0 sha=00000000:0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == (str(valkey), (8, 1))


@pytest.mark.parametrize("version", ["Redis server v=6.0.16 sha=0", "something else"])
def test_a_server_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    script(tmp_path, "redis-server", version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    path, found = find_server()
    assert path.endswith("valkey-server")
    assert found >= (6, 2)


def test_it_listens_on_a_private_socket_only_and_keeps_what_it_is_told(tmp_path: Path) -> None:
    settings = load_settings({"INSTANCE_DIR": str(tmp_path / "i")})
    line = " ".join(redis_arguments(settings))
    for words in ("--port 0", "--unixsocketperm 700", "--appendonly yes", "--appendfsync everysec"):
        assert words in line
    assert "--maxmemory-policy noeviction" in line
    assert f"--unixsocket {settings.run_dir / 'redis.sock'}" in line


def test_a_redis_url_of_ones_own_means_no_embedded_server(tmp_path: Path) -> None:
    given = {"INSTANCE_DIR": str(tmp_path / "i"), "REDIS_URL": "redis://127.0.0.1:6379/0"}
    assert load_settings(given).embedded_redis is None


@pytest.mark.parametrize("is_left", [False, True], ids=["no socket", "socket of a killed server"])
def test_that_nobody_is_there_is_known_at_once(tmp_path: Path, is_left: bool) -> None:
    """Each start asks first whether an earlier one has left its server behind, which is so nearly never."""
    path = tmp_path / "redis.sock"
    if is_left:
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(path))
    stopwatch = Stopwatch()
    end_leftover(path)
    assert not answers(path)
    assert stopwatch.seconds < 1
