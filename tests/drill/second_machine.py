"""A second machine in a network of its own, whose way to a server of the first can be cut without a word."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.parts import ROOT, skip, wait_until

HERE, THERE = "10.213.77.1", "10.213.77.2"


class SecondMachine:
    """One network namespace, joined to ours by a cable; there our end is HERE, and nothing else is reached."""

    def __init__(self) -> None:
        self._name = f"carillon-{secrets.token_hex(3)}"
        self._cable = f"c{secrets.token_hex(4)}"

    def plug_in(self) -> None:
        """Make the namespace and its cable. Raises CalledProcessError where we may not."""
        far = f"{self._cable}f"
        run("ip", "netns", "add", self._name)
        run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", far)
        run("ip", "link", "set", far, "netns", self._name)
        run("ip", "address", "add", f"{HERE}/30", "dev", self._cable)
        run("ip", "link", "set", self._cable, "up")
        for words in (
            ("address", "add", f"{THERE}/30", "dev", far),
            ("link", "set", far, "up"),
            ("link", "set", "lo", "up"),
        ):
            run("ip", "-n", self._name, *words)

    def unplug(self) -> None:
        """Remove the namespace, and the cable with it."""
        subprocess.run(["ip", "netns", "delete", self._name], check=False, stderr=subprocess.DEVNULL)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs another one there."""
        return ["ip", "netns", "exec", self._name, *arguments]

    @contextmanager
    def reaches(self, port: int) -> Iterator[None]:
        """Let it reach one of our ports, at which nobody listens but on 127.0.0.1, while the block runs."""
        command = [sys.executable, "-m", "bench.delay_proxy", "0", str(port), str(port), HERE]
        with subprocess.Popen(command, cwd=ROOT) as proxy:
            try:
                wait_until(lambda: is_open(port))
                yield
            finally:
                proxy.terminate()

    @contextmanager
    def cut_off_from(self, port: int) -> Iterator[None]:
        """Drop, without a word, all that it sends to one of our ports while the block runs."""
        run("iptables", "-w", "-t", "raw", "-I", *(rule := self._drop(port)))
        try:
            yield
        finally:
            run("iptables", "-w", "-t", "raw", "-D", *rule)

    def _drop(self, port: int) -> list[str]:
        return ["PREROUTING", "-i", self._cable, "-p", "tcp", "--dport", str(port), "-j", "DROP"]


def is_open(port: int) -> bool:
    """Tell whether somebody listens at a port of HERE."""
    with socket.socket() as probe:
        return probe.connect_ex((HERE, port)) == 0


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def second_machine() -> Iterator[SecondMachine]:
    """Yield a machine with a cable to ours; skips where we may not make one.

    To cut its cable takes rules in the kernel's filter, if for that cable alone; so nobody gets one without asking.
    """
    if not os.environ.get("CI"):
        skip("a second machine is made only with CI=true: it needs root, and changes the packet filter for a moment")
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("iptables"):
        skip("a second machine needs root, ip (iproute2) and iptables")
    machine = SecondMachine()
    try:
        machine.plug_in()
        yield machine
    finally:
        machine.unplug()
