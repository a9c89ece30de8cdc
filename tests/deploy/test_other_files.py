"""What else is in deploy/: each file is read by the program that it is for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import parts
from tests.deploy.units import NAMES, read_service, read_settings
from tests.parts import ROOT
from tests.smtp_sink import free_port

DEPLOY = ROOT / "deploy"
DEBIANS_PYTHON = "/usr/bin/python3"
# Two values for one key are a mistake that YAML readers let pass.
READ_YAML = """
import json, sys, yaml

class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"twice: {keys}"
        return super().construct_mapping(node, deep)

json.dump(yaml.load(sys.stdin, Strict), sys.stdout)
"""
READ_SUPERVISOR = """
import json, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1], "-n", "-u", "root"])
options.process_config(do_usage=False)
programs = [each for group in options.process_group_configs for each in group.process_configs]
names = ("name", "command", "stopwaitsecs", "exitcodes", "autostart", "stdout_logfile")
json.dump([{name: getattr(each, name) for name in names} for each in programs], sys.stdout)
"""


def with_debians_python(program: str, *arguments: str, text: str = "", needs: str) -> Any:
    """Run a program that needs a Debian package; returns what it says as JSON."""
    found = subprocess.run([DEBIANS_PYTHON, "-c", f"import {needs}"], capture_output=True, check=False)
    if found.returncode:
        parts.skip(f"{DEBIANS_PYTHON} has no {needs} (apt-get install supervisor python3-yaml)")
    command = [DEBIANS_PYTHON, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def commands_of_units() -> set[str]:
    """Return what the units run, without the Python in front and with one number of sending process for all."""
    found = set()
    for name in NAMES:
        command = read_service(name).command({"BULK_THREADS": "2"})[2:]
        found.add(re.sub(r"mail\.bulk-\d", "mail.bulk", " ".join(command)))
    return found


def test_supervisor_runs_what_the_units_run(tmp_path: Path) -> None:
    text = (DEPLOY / "supervisor" / "carillon.conf").read_text()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    for there, here in {"/opt/carillon": str(ROOT), "/var/log/carillon": str(tmp_path)}.items():
        text = text.replace(there, here)
    text = text.replace("user=carillon", f"user={user}")
    (tmp_path / "supervisord.conf").write_text(f"[supervisord]\nlogfile={tmp_path}/supervisord.log\n{text}")
    programs = with_debians_python(READ_SUPERVISOR, str(tmp_path / "supervisord.conf"), needs="supervisor")
    prefix = f"{ROOT}/deploy/bin/with-settings {ROOT}/.venv/bin/python -m "
    commands = {re.sub(r"mail\.bulk-\d", "mail.bulk", each["command"].removeprefix(prefix)) for each in programs}
    assert commands == commands_of_units()
    assert len(programs) == len(NAMES)
    assert all(each["exitcodes"] == [2] for each in programs)
    assert {each["stopwaitsecs"] for each in programs if "-Q" in each["command"]} == {90}
    assert [each["name"] for each in programs if not each["autostart"]] == ["carillon-flower"]


def test_settings_are_handed_to_a_command_as_they_stand_in_the_file(tmp_path: Path) -> None:
    values = {"A_URL": "redis://h/0?a=b", "DOLLAR": "$HOME `id`", "WORDS": "Name <news@example.com> # no comment"}
    lines = ["# a comment", "", "  not_a_setting", *(f"{name}={value}" for name, value in values.items())]
    (tmp_path / "settings.env").write_text("\n".join(lines))
    command = [DEPLOY / "bin" / "with-settings", "env", "--null"]
    environ = {"PATH": os.environ["PATH"], "CARILLON_ENV": str(tmp_path / "settings.env")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=True)
    found = dict(each.split("=", 1) for each in done.stdout.split("\0") if "=" in each)
    assert {name: found.get(name) for name in values} == values


@pytest.fixture
def redis_as_shipped(tmp_path: Path) -> Iterator[redis.Redis]:
    port, text = free_port(), (DEPLOY / "redis.conf").read_text()
    places = {"port 6380": f"port {port}", "/var/lib/redis/carillon": str(tmp_path)}
    places |= {"/var/log/redis": str(tmp_path), "/run/redis-carillon": str(tmp_path)}
    for there, here in places.items():
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "redis.conf").write_text(text)
    process = subprocess.Popen([parts.redis_binary(), str(tmp_path / "redis.conf")], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            yield parts.wait_until(lambda: answering(client), what="Redis")
    finally:
        process.terminate()
        process.wait(timeout=90)


def answering(client: redis.Redis) -> redis.Redis | None:
    try:
        return client if client.ping() else None
    except redis.ConnectionError:
        return None


def test_redis_listens_on_loopback_keeps_everything_and_evicts_nothing(redis_as_shipped: redis.Redis) -> None:
    def says(name: str) -> str:
        return str(redis_as_shipped.config_get(name)[name])

    assert says("bind") == "127.0.0.1"
    assert says("appendonly") == "yes"
    assert says("maxmemory-policy") == "noeviction"
    assert read_settings(DEPLOY / "carillon.env")["REDIS_URL"] == "redis://127.0.0.1:6380/0"


def test_logrotate_takes_its_file(tmp_path: Path) -> None:
    logrotate = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if logrotate is None:
        parts.skip("logrotate is not installed (apt-get install logrotate)")
    (tmp_path / "web.log").write_text("a line\n")
    text = (DEPLOY / "logrotate" / "carillon").read_text().replace("/var/log/carillon", str(tmp_path))
    text = re.sub(r"create 0640 .*", "create 0640", text)
    (tmp_path / "carillon").write_text(text)
    (tmp_path / "carillon").chmod(0o644)
    command = [logrotate, "--debug", "--force", "--state", str(tmp_path / "state"), str(tmp_path / "carillon")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert "log needs rotating" in done.stderr


@pytest.fixture
def compose() -> dict[str, Any]:
    text = (DEPLOY / "compose.yml").read_text()
    found: dict[str, Any] = with_debians_python(READ_YAML, text=text, needs="yaml")
    return found


def test_containers_run_what_the_units_run_and_are_locked_in(compose: dict[str, Any]) -> None:
    services = compose["services"]
    own = {name: each for name, each in services.items() if each["image"] == "carillon:local"}
    commands = {
        re.sub(r"mail\.bulk-\d", "mail.bulk", " ".join(each["command"]).removeprefix("python -m "))
        for each in own.values()
    }
    assert commands - {"flask upgrade"} == commands_of_units()
    for name, each in own.items():
        assert each["read_only"], name
        assert each["cap_drop"] == ["ALL"], name
        assert each["stop_grace_period"] == "90s", name
        assert "healthcheck" in each or name == "web", name  # the web site's own is in the image
        assert each["pull_policy"] == "never", name
    assert [name for name, each in services.items() if "build" in each] == ["upgrade"]  # which all others wait for
    assert services["flower"]["profiles"] == ["flower"]
    published = [port for each in services.values() for port in each.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert {name.partition(":")[0] for each in services.values() for name in each["volumes"]} == set(compose["volumes"])
    assert "noeviction" in services["redis"]["command"]


def test_images_are_pinned_and_hold_no_secret(compose: dict[str, Any]) -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    images += [each["image"] for each in compose["services"].values() if each["image"] != "carillon:local"]
    assert [image for image in images if not re.search(r":\d+(\.\d+)?-", image)] == []
    assert dockerfile.index("USER carillon") < dockerfile.index("CMD")
    assert "HEALTHCHECK" in dockerfile
    ignored = (ROOT / ".dockerignore").read_text().split()
    taken = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert ignored[ignored.index("*") + 1] == "!app.py"  # everything is left out, but for what follows
    assert not taken & {"instance", "deploy", ".git", "tests"}
    assert all((ROOT / name).exists() for name in taken)
    assert "${POSTGRES_PASSWORD:?" in (DEPLOY / "compose.yml").read_text()


def test_the_nightly_backup_is_the_one_of_the_readme() -> None:
    unit = (DEPLOY / "systemd" / "carillon-backup.service").read_text()
    command = re.search(r"carillon (backup .*)' > /etc/cron\.d", (DEPLOY / "README.md").read_text())
    assert command
    assert f" {command[1]}\n" in unit
    assert "ReadWritePaths=/var/backups/carillon\n" in unit


def test_the_readme_names_files_and_commands_that_are_there() -> None:
    readme = (DEPLOY / "README.md").read_text()
    named = set(re.findall(r"\bdeploy/([\w.@/-]+\w)", readme)) - {".env", "compose.env"}
    assert {name for name in named if not (DEPLOY / name).exists()} == set()
    told = (ROOT / "README.md").read_text()
    for command in set(re.findall(r"^carillon ([a-z-]+)", readme, re.MULTILINE)):
        assert f"`flask {command}" in told, command
