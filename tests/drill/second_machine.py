"""A second machine, whose way to what runs HERE can be cut without a word.

Both ends of its cable are in networks of our own. An address that comes or goes in the network of all other programs
is noticed there: Chromium, for one, gives up what it is loading.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.parts import skip

HERE, THERE = "10.213.77.1", "10.213.77.2"
CABLE = "cable"  # what each machine calls its end

# A socket belongs to the network in which it was made, whoever uses it: made inside, it is handed out.
HAND_OUT_A_SOCKET = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as listening, socket.socket(fileno=0) as way_out:
    socket.send_fds(way_out, [b"!"], [listening.fileno()])
"""


class SecondMachine:
    """Two network namespaces and a cable: from the second, what listens in the first at HERE is reached, and no more.

    Files and Unix sockets are shared with everybody.
    """

    def __init__(self) -> None:
        name = f"carillon-{secrets.token_hex(3)}"
        self._here, self._there = f"{name}-here", f"{name}-there"

    def plug_in(self) -> None:
        """Make the namespaces and the cable; skips where we may not."""
        for name in (self._here, self._there):
            run_or_skip("ip", "netns", "add", name)
        cable = ("link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", self._there)
        run_or_skip("ip", "-n", self._here, *cable)
        for name, address in ((self._here, HERE), (self._there, THERE)):
            run_or_skip("ip", "-n", name, "address", "add", f"{address}/30", "dev", CABLE)
            for device in ("lo", CABLE):
                run_or_skip("ip", "-n", name, "link", "set", device, "up")
        run_or_skip(*self._filter("-S"))

    def unplug(self) -> None:
        """End whatever still runs in the namespaces, and remove them, with the cable."""
        for name in (self._here, self._there):
            left = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True)
            for pid in left.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)

    def here(self, *arguments: str) -> list[str]:
        """Return the command line, or its beginning, that runs another one where HERE is."""
        return ["ip", "netns", "exec", self._here, *arguments]

    def there(self, *arguments: str) -> list[str]:
        """Return the command line, or its beginning, that runs another one on the second machine."""
        return ["ip", "netns", "exec", self._there, *arguments]

    def listen(self, port: int) -> socket.socket:
        """Return a socket that listens at a port of HERE, though we are elsewhere."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = self.here(sys.executable, "-c", HAND_OUT_A_SOCKET, HERE, str(port))
            subprocess.run(command, check=True, stdin=theirs)
            _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptor)

    @contextmanager
    def cut_off_from(self, port: int) -> Iterator[None]:
        """Drop, without a word, all that it sends to a port of HERE while the block runs."""
        rule = ["PREROUTING", "-i", CABLE, "-p", "tcp", "--dport", str(port), "-j", "DROP"]
        subprocess.run(self._filter("-I", *rule), check=True)
        try:
            yield
        finally:
            subprocess.run(self._filter("-D", *rule), check=True)

    def _filter(self, *arguments: str) -> list[str]:
        return self.here("iptables", "-w", "-t", "raw", *arguments)


def run_or_skip(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        skip(f"a second machine cannot be made: {' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def second_machine() -> Iterator[SecondMachine]:
    """Yield a machine with a cable to HERE; skips where we may not make one."""
    missing = [program for program in ("ip", "iptables") if not shutil.which(program)]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        skip(f"a second machine needs {' and '.join(missing)}")
    machine = SecondMachine()
    try:
        machine.plug_in()
        yield machine
    finally:
        machine.unplug()
