"""The supervisor: starts processes, starts again those that end, and stops all together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from campaigns.ops.guardian import is_alive, signal_groups
from campaigns.ops.processes import ROOT, ProcessPlan

STOP_SECONDS = 60.0  # a worker may finish the dialogues that are open
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # who has run this long starts again with the first pause
LOG_LIMIT_BYTES = 10_000_000
LOGS_KEPT = 3


@dataclass
class Child:
    """One supervised process and what became of it."""

    plan: ProcessPlan
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    start_again_at: float | None = None


@dataclass
class Supervisor:
    """Runs processes until it is told to stop. All of its methods are for the main thread."""

    environ: Mapping[str, str]
    say: Callable[[str], None]
    lock_descriptor: int | None = None  # kept open by the guardian, so that the lock is held until all have ended
    stop_requested: Event = field(default_factory=Event)
    children: list[Child] = field(default_factory=list)
    _guardian: subprocess.Popen[bytes] | None = None
    _signals: int = 0

    def listen_for_signals(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as the wish to stop; the third one kills."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def start(self, plan: ProcessPlan, log_path: Path) -> Child:
        """Start one process, whose output goes to its log file."""
        child = Child(plan, log_path)
        self.children.append(child)
        rotate_log(log_path)
        self._launch(child)
        return child

    def watch(self, *, seconds: float = 0.5) -> None:
        """Look after the processes once: start again who ended. Waits up to `seconds` for a wish to stop."""
        self.stop_requested.wait(seconds)
        if self.stop_requested.is_set():
            return
        for child in self.children:
            self._look_after(child)

    def wait_for(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Look after the processes until the condition holds; False when it never did or a stop was asked for."""
        deadline = time.monotonic() + seconds
        while not self.stop_requested.is_set() and time.monotonic() < deadline:
            if condition():
                return True
            self.watch(seconds=0.1)
        return False

    def run(self, arguments: Sequence[str], *, log_path: Path | None = None) -> int:
        """Run a command to its end beside the others and return its exit status.

        Its output goes to the log file, or to the terminal. A wish to stop ends it.
        """
        if self.stop_requested.is_set():
            return 130
        process = self._spawn(arguments, log_path, stage=0)
        while process.poll() is None:
            self.watch(seconds=0.1)
            if self.stop_requested.is_set():
                self._end([process], seconds=5)
        self._strike_off(process, stage=0)
        return process.returncode

    def stop(self) -> None:
        """Stop everything, stage by stage; whoever has not ended after a minute is killed."""
        for stage in sorted({child.plan.stage for child in self.children}):
            running = [c.process for c in self.children if c.plan.stage == stage and c.process]
            self._end(running, seconds=STOP_SECONDS)
        self.children.clear()
        if self._guardian and self._guardian.stdin:
            self._guardian.stdin.close()
            self._guardian.wait()

    def _launch(self, child: Child) -> None:
        child.process = self._spawn(child.plan.arguments, child.log_path, stage=child.plan.stage)
        child.started_at = time.monotonic()
        child.start_again_at = None

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.start_again_at is not None and now >= child.start_again_at:
            self._launch(child)
        elif child.process and child.process.poll() is not None:
            self._plan_restart(child, now)

    def _plan_restart(self, child: Child, now: float) -> None:
        assert child.process
        self._strike_off(child.process, stage=child.plan.stage)
        # What it started must not outlive it: a pool's processes would go on beside the new ones.
        signal_groups([child.process.pid], signal.SIGKILL)
        if now - child.started_at > STEADY_SECONDS:
            child.pause_seconds = FIRST_PAUSE_SECONDS
        how = exit_words(child.process.returncode)
        self.say(
            f"{child.plan.name} ended ({how}); starting it again in {child.pause_seconds:g} s. See {child.log_path}"
        )
        child.process = None
        child.start_again_at = now + child.pause_seconds
        child.pause_seconds = min(LONGEST_PAUSE_SECONDS, child.pause_seconds * 2)

    def _spawn(self, arguments: Sequence[str], log_path: Path | None, *, stage: int) -> subprocess.Popen[bytes]:
        guardian = self._living_guardian()
        output = log_path.open("ab") if log_path else None
        try:
            process = subprocess.Popen(
                list(arguments),
                cwd=ROOT,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C reaches the supervisor alone, which then stops the others in their order.
                start_new_session=True,
            )
        finally:
            if output:
                output.close()
        self._tell(guardian, f"+{stage} {process.pid}")
        return process

    def _end(self, processes: Sequence[subprocess.Popen[bytes]], *, seconds: float) -> None:
        pids = [process.pid for process in processes if process.poll() is None]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            if self._signals > 2:
                break
            time.sleep(0.05)
        signal_groups([pid for pid in pids if is_alive(pid)], signal.SIGKILL)
        for process in processes:
            process.wait()

    def _living_guardian(self) -> subprocess.Popen[bytes]:
        if self._guardian is None or self._guardian.poll() is not None:
            kept = () if self.lock_descriptor is None else (self.lock_descriptor,)
            self._guardian = subprocess.Popen(
                [sys.executable, "-m", "campaigns.ops.guardian"],
                cwd=ROOT,
                env=dict(self.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=kept,
            )
            for child in self.children:
                if child.process:
                    self._tell(self._guardian, f"+{child.plan.stage} {child.process.pid}")
        return self._guardian

    def _strike_off(self, process: subprocess.Popen[bytes], *, stage: int) -> None:
        self._tell(self._living_guardian(), f"-{stage} {process.pid}")

    def _tell(self, guardian: subprocess.Popen[bytes], line: str) -> None:
        assert guardian.stdin
        try:
            os.write(guardian.stdin.fileno(), f"{line}\n".encode())
        except BrokenPipeError:
            return  # it is started again, with the whole list, by whoever needs it next

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1
        self.stop_requested.set()


def rotate_log(path: Path) -> None:
    """Make room for a new log when this one has grown over the limit; the last three are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size < LOG_LIMIT_BYTES:
        return
    for number in range(LOGS_KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def last_lines(path: Path, count: int = 15) -> str:
    """Return the end of a log file, for showing why something did not start."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


def exit_words(status: int) -> str:
    """Return how a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
