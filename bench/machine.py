"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from bench.databases import postgres_server
from bench.parts import find_postfix_tool
from campaigns.ops.embedded_redis import find_server
from campaigns.ops.processes import ROOT

PACKAGES = ("Celery", "Flask-Mail", "SQLAlchemy", "psycopg")


def describe_machine() -> dict[str, Any]:
    """Return the facts, among them the load before anything was started."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "versions": {
            "Python": _python_version(),
            "PostgreSQL": _postgres_version(),
            "SQLite": sqlite3.sqlite_version,
            **_redis_version(),
            "Postfix": _postfix_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }


def is_busy(machine: dict[str, Any]) -> bool:
    """Tell whether others use the machine so much that the numbers mean little."""
    return bool(machine["load_before"] > 0.25 * (machine["cores"] or 1))


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _commit() -> str:
    return _first_line(["git", "rev-parse", "--short", "HEAD"])


def _python_version() -> str:
    """Return it with whose it is: one built without a profile, as most are that were built by hand, is slower."""
    is_the_systems = Path(sys.base_exec_prefix) == Path("/usr")
    return f"{platform.python_version()} {f'of {_system_name()}' if is_the_systems else 'of another build'}"


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "the system"


def _postgres_version() -> str:
    server = postgres_server()
    if server is None:
        return ""
    with psycopg.connect(server) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).split()[0] if row else ""


def _redis_version() -> dict[str, str]:
    path, found = find_server()
    return {"Valkey" if "valkey" in Path(path).name else "Redis": ".".join(map(str, found))}


def _postfix_version() -> str:
    postconf = find_postfix_tool("postconf")
    return _first_line([postconf, "-d", "-h", "mail_version"]) if postconf else ""


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip().partition("\n")[0]
