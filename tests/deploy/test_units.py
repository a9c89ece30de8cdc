"""The services of systemd: systemd finds nothing wrong with them, and what they start sends a campaign and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaigns.celery import LANES
from tests import parts
from tests.deploy.units import FOLDER, NAMES, Service, read_service, read_settings
from tests.parts import ROOT
from tests.smtp_sink import Sink, free_port

PEOPLE = 40


@pytest.fixture
def services() -> list[Service]:
    return [read_service(name) for name in NAMES]


def test_systemd_finds_nothing_wrong_and_the_services_are_locked_in(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        parts.skip("systemd-analyze is not installed (apt-get install systemd)")
    if os.geteuid() and not Path("/run/systemd").is_dir():
        parts.skip("systemd does not run here, and only root may make the folder that systemd-analyze asks for")
    units = tmp_path / "units"
    shutil.copytree(FOLDER, units)
    for path in units.rglob("carillon*"):
        if path.is_file():
            path.write_text(path.read_text().replace("/opt/carillon/.venv/bin/python", sys.executable))
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_COLORS": "0"}

    def ask(*arguments: str) -> tuple[int, str]:
        command = [str(analyze), *arguments, *NAMES, "carillon-backup.service"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    assert ask("verify", "--man=no", "carillon.target", "carillon-backup.timer") == (0, "")
    status, said = ask("security", "--offline=true", "--threshold=20", "--no-pager")
    assert status == 0, said


def test_the_target_starts_a_worker_of_every_lane_and_stops_all(services: list[Service]) -> None:
    target = (FOLDER / "carillon.target").read_text()
    lanes = [
        each.command(dict.fromkeys(["BULK_THREADS"], "2")) for each in services if "-Q" in each.says["ExecStart"][0]
    ]
    assert {command[command.index("-Q") + 1] for command in lanes} == set(LANES)
    assert all(name in target for name in NAMES if "flower" not in name)
    for service in services:
        assert service.says["PartOf"] == ["carillon.target"]
        assert service.says["Restart"] == ["always"]
        assert service.stop_seconds == (90 if "-Q" in service.says["ExecStart"][0] else 30)


@pytest.fixture
def settings(postgres_database: str, redis_server: parts.RedisServer, sink: Sink, tmp_path: Path) -> dict[str, str]:
    """The file of settings that is shipped, with the places of this machine."""
    parts.empty_postgres(postgres_database)
    redis_server.flush()
    shipped = read_settings(ROOT / "deploy" / "carillon.env")
    (tmp_path / "mail_password").write_text("secret")
    mail = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": str(sink.port), "MAIL_USE_TLS": "false"}
    mail |= {"MAIL_USERNAME": "", "MAIL_PASSWORD_FILE": ""}
    places = {"INSTANCE_DIR": str(tmp_path / "i"), "DATABASE_URL": postgres_database, "REDIS_URL": redis_server.url}
    assert set(shipped) > set(mail | places)
    flower = {"FLOWER_URL": "https://news.example.com/flower", "FLOWER_PORT": str(free_port())}
    return {**shipped, **mail, **places, **flower, "PORT": str(free_port()), "LOG_LEVEL": "warning"}


@pytest.fixture
def carillon(settings: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Run `carillon …` as the README of deploy/ does; returns what it says on standard output."""
    env_file = tmp_path / "carillon.env"
    env_file.write_text("# settings\n" + "".join(f"{name}={value}\n" for name, value in settings.items()))
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()

    def run(*arguments: str) -> str:
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "CARILLON_ENV": str(env_file), "CARILLON_USER": user}
        command = [str(ROOT / "deploy" / "bin" / "carillon"), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def running(
    services: list[Service], settings: dict[str, str], carillon: Callable[..., str], tmp_path: Path
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    carillon("upgrade")
    started = {each.name: each.start(settings, tmp_path / f"{each.name}.log") for each in services}
    yield started
    for process in started.values():
        parts.end_process_group(process, signal.SIGKILL)


@pytest.mark.timeout(300)
def test_what_the_units_start_sends_a_campaign_and_stops_in_time(
    services: list[Service],
    settings: dict[str, str],
    carillon: Callable[..., str],
    running: dict[str, subprocess.Popen[bytes]],
    sink: Sink,
    tmp_path: Path,
) -> None:
    parts.wait_until(lambda: is_ready(settings["PORT"]), seconds=120, what=f"/readyz; the logs are in {tmp_path}")
    assert f"{settings['PUBLIC_BASE_URL']}/setup?token=" in carillon("setup-link")
    people, body = tmp_path / "people.csv", tmp_path / "body.md"
    people.write_text("email,name\n" + "".join(f"person{n}@example.com,Person {n}\n" for n in range(PEOPLE)))
    body.write_text("Hello {{ name }}")
    carillon("users", "create-admin", "ada@example.org")
    carillon("users", "import", str(people))
    said = carillon("campaigns", "send", "--subject", "News", "--body", str(body), "--no-hold", "--wait", "--json")
    totals = json.loads(said.splitlines()[-1])
    assert (totals["state"], totals["sent"]) == ("sent", totals["recipients"])
    got = [mail.recipient for mail in sink.mails if mail.recipient.startswith("person")]
    assert sorted(got) == sorted(f"person{n}@example.com" for n in range(PEOPLE))

    assert [name for name, process in running.items() if process.poll() is not None] == []
    for process in running.values():
        process.terminate()  # KillMode=mixed: the main process alone
    ended = {each.name: running[each.name].wait(timeout=each.stop_seconds) for each in services}
    assert ended == dict.fromkeys(NAMES, 0)
    assert [path.name for path in tmp_path.glob("*.log") if "Traceback" in path.read_text()] == []


def is_ready(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
            return bool(json.load(answer)["ready"])
    except (urllib.error.URLError, OSError):
        return False
