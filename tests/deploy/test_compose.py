"""compose.yml as Compose itself reads it, beside the two files that its operator writes. Needs no daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.parts import ROOT

SETTINGS = "PUBLIC_BASE_URL=https://news.example.com\nMAIL_SERVER=smtp.example.com\nMAIL_PASSWORD='pa$sword'\n"
COMMANDS = (("docker", "compose"), ("docker-compose",))

Config = Callable[..., subprocess.CompletedProcess[str]]


def compose_command() -> list[str] | None:
    """Return how Compose is called here, if it is of version 2 or newer; None without it."""
    installed = (command for command in COMMANDS if shutil.which(command[0]))
    return next((list(command) for command in installed if is_new_enough(command)), None)


def is_new_enough(command: Sequence[str]) -> bool:
    said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, timeout=60, check=False)
    return said.returncode == 0 and not said.stdout.startswith("1.")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Run `docker compose config` as the README says; POSTGRES_PASSWORD and more stand in `.env`."""
    command = compose_command()
    if command is None:
        # No failure with REQUIRE_ALL either: Debian 12 has no package of it.
        pytest.skip("Docker Compose is not installed (docker compose, or docker-compose of version 2)")
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    shutil.copy(ROOT / "deploy" / "compose.yml", deploy)
    (deploy / "compose.env").write_text(SETTINGS)

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        (deploy / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
        words = [*command, "-f", "deploy/compose.yml", "config", "--format", "json"]
        return subprocess.run(
            words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def test_compose_takes_its_file_with_the_settings_beside_it(config: Config) -> None:
    done = config(POSTGRES_PASSWORD="abc123", BULK_PROCESSES="3", COMPOSE_PROFILES="flower")
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    own = {name: each for name, each in services.items() if each["image"] == "carillon:local"}
    assert set(own) == {"upgrade", "web", "now", "bulk", "work", "beat", "flower"}
    for name, each in own.items():
        environment = each["environment"]
        assert environment["DATABASE_URL"] == "postgresql://carillon:abc123@postgres/carillon", name
        printed = environment["MAIL_PASSWORD"].replace("$$", "$")  # newer ones double it in what they print
        assert printed == "pa$sword", name
    assert services["bulk"]["deploy"]["replicas"] in (3, "3")


def test_compose_says_which_password_is_missing(config: Config) -> None:
    done = config()
    assert done.returncode != 0
    assert "POSTGRES_PASSWORD" in done.stderr
    assert "set it in deploy/.env" in done.stderr
