"""Which of a server's clients are connections of certain processes, as Linux tells it under /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def client_ports(server_port: int, *, group: int) -> set[int] | None:
    """Return the ports from which a group of processes is connected to a port of 127.0.0.1, in any state.

    None where the system does not tell.
    """
    try:
        rows = (PROC / "net" / "tcp").read_text().splitlines()[1:]
        inodes = {inode for pid in _members(group) for inode in _sockets(pid)}
    except OSError:
        return None
    return {_port(own) for own, remote, inode in map(_ends, rows) if inode in inodes and _port(remote) == server_port}


def is_stopped(pid: int) -> bool:
    """Tell whether a process stands still, as after SIGSTOP, or is gone; also where the system does not tell."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except OSError:
        return True


def _members(group: int) -> Iterator[int]:
    for pid in (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        try:
            if os.getpgid(pid) == group:
                yield pid
        except ProcessLookupError:
            continue


def _sockets(pid: int) -> Iterator[str]:
    """Yield the inodes of a process's sockets. Raises PermissionError for a process that is not ours to look at."""
    try:
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            target = _target(descriptor)
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]
    except FileNotFoundError:
        return  # it has ended


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:
        return ""  # closed meanwhile


def _ends(row: str) -> tuple[str, str, str]:
    """Return a row's own address, remote address and inode (proc_pid_net(5): the 2nd, 3rd and 10th field)."""
    fields = row.split()
    return fields[1], fields[2], fields[9]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
