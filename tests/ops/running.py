"""A supervisor started as a process, in an instance folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.parts import ROOT, wait_until
from tests.smtp_sink import free_port

UNSET = ("REDIS_URL", "BROKER_URL", "DATABASE_URL", "MAIL_SERVER", "PUBLIC_BASE_URL", "TESTING")


class Running:
    """One supervisor in a new instance folder."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.instance = folder / "i"
        self.port = int(environ.get("PORT", "0")) or free_port()
        self.environ = {name: value for name, value in os.environ.items() if name not in UNSET}
        self.environ |= {"INSTANCE_DIR": str(self.instance), "PORT": str(self.port), **environ}
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "campaigns.ops.up", *arguments],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_said(self, text: str, *, seconds: float) -> None:
        wait_until(lambda: text in self.said(), seconds=seconds, what=f"{text!r}, see {self.output}")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> dict[str, Any]:
        return json.loads(self.get("/readyz")[1])

    def processes(self) -> dict[int, str]:
        """Return the living processes that carry this instance folder in their environment, by id."""
        return processes_of(self.instance)

    def find(self, words: str) -> list[int]:
        return [pid for pid, line in self.processes().items() if words in line]

    def end(self) -> None:
        """Stop it as a person would, and whatever it has left as nobody should have to."""
        self.process.terminate()
        try:
            self.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def processes_of(instance: Path) -> dict[int, str]:
    """Return the living processes that carry an instance folder in their environment, by id."""
    mark = f"INSTANCE_DIR={instance}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = mark in (folder / "environ").read_bytes()
            if is_ours and "\nState:\tZ" not in (folder / "status").read_text():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found
