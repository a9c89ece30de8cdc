"""The services of deploy/systemd as systemd reads them: with what all share, their environment, their command line."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.parts import ROOT

FOLDER = ROOT / "deploy" / "systemd"
NAMES = (
    "carillon-web.service",
    "carillon-now.service",
    "carillon-bulk@1.service",
    "carillon-bulk@2.service",
    "carillon-work.service",
    "carillon-beat.service",
    "carillon-flower.service",
)
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65


@dataclass(frozen=True)
class Service:
    """One service: what its file and the shared one say, each setting with all of its values."""

    name: str
    says: dict[str, list[str]]

    @property
    def stop_seconds(self) -> int:
        return int(self.says["TimeoutStopSec"][-1])

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """Return what its process is started with; the file of settings is the last word."""
        given = [assignment.partition("=") for line in self.says["Environment"] for assignment in shlex.split(line)]
        return {name: value for name, _, value in given} | settings

    def command(self, environment: dict[str, str]) -> list[str]:
        """Return its command line, run by the Python of the tests."""
        (line,) = self.says["ExecStart"]
        line = line.replace("/opt/carillon/.venv/bin/python", sys.executable)
        instance = re.search(r"@(.*)\.service", self.name)
        line = re.sub(r"(?<!%)%i", instance[1] if instance else "", line).replace("%%", "%")
        return [re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], word) for word in shlex.split(line)]

    def start(self, settings: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start it by hand, with nothing of this process's environment."""
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"} | self.environment(settings)
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(environment),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=give_up_what_the_units_take,
            )


def read_service(name: str) -> Service:
    """Read a service, and then the shared file, which systemd applies to each and which has the last word."""
    says: dict[str, list[str]] = defaultdict(list)
    template = re.sub(r"@.*\.service", "@.service", name)
    for path in (FOLDER / template, FOLDER / "carillon-.service.d" / "common.conf"):
        for line in path.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                says[key].append(value)
    return Service(name, says)


def read_settings(path: Path) -> dict[str, str]:
    """Read a file of settings as EnvironmentFile= does."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def give_up_what_the_units_take() -> None:
    """Take from this process for good what NoNewPrivileges= and MemoryDenyWriteExecute= take; an old kernel cannot."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_MDWE, 1, 0, 0, 0)
