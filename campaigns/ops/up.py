"""`python -m campaigns.ops.up`: start everything that one installation consists of, and stop it together.

`make run` and `make demo` call it. It starts the Redis-protocol server when REDIS_URL names none, brings the database
up to date, then the web site, the workers of every lane, beat and, in trial mode, the mail catcher.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import click

from campaigns.config import Settings, load_settings_or_exit
from campaigns.errors import CarillonError
from campaigns.ops.embedded_redis import answers, end_leftover
from campaigns.ops.flower_log_in import FLOWER_USER, flower_password
from campaigns.ops.ports import CannotStart, with_flower, with_free_port
from campaigns.ops.processes import ProcessPlan, child_environment, storing_processes, working_processes
from campaigns.ops.run_folder import make_private_folder
from campaigns.ops.run_lock import take_lock
from campaigns.ops.supervisor import Supervisor, last_lines

READY_SECONDS = 90.0
DEMO_DROPS = ("MAIL_SERVER", "MAIL_USERNAME", "MAIL_PASSWORD", "MAIL_PASSWORD_FILE")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--demo", is_flag=True, help="Send an announcement to 2,000 demo users, in a data folder of its own.")
@click.option("--once", is_flag=True, help="With --demo: stop after the totals; exit status 0 only if they add up.")
@click.option("--flower", is_flag=True, help="Start Flower too, a closer look at tasks and workers.")
def up(*, demo: bool, once: bool, flower: bool) -> None:
    """Start the web site, the workers, beat and whatever else they need, and stop all together on Ctrl-C."""
    environ = demo_environment(os.environ) if demo else dict(os.environ)
    settings = load_settings_or_exit(environ)
    try:
        sys.exit(run_installation(settings, environ, demo=demo, once=once, flower=flower))
    except CarillonError as error:
        say(str(error), error=True)
        sys.exit(1)


def run_installation(
    settings: Settings, environ: Mapping[str, str], *, demo: bool = False, once: bool = False, flower: bool = False
) -> int:
    """Run one installation until it is told to stop, or the demo is over; returns the exit status."""
    lock = take_lock(settings.instance_dir)
    settings = with_free_port(settings, say)
    if flower or settings.flower_url:
        settings = with_flower(settings, say)
    lock.write(url=address_of(settings))
    supervisor = Supervisor(child_environment(settings, environ), say, lock.descriptor)
    supervisor.listen_for_signals()
    try:
        status = Installation(settings, supervisor).run(demo=demo, once=once)
    finally:
        stop(supervisor)
        lock.release()
    return status


@dataclass
class Installation:
    """One installation on its way up."""

    settings: Settings
    supervisor: Supervisor

    def run(self, *, demo: bool, once: bool) -> int:
        """Start everything in order, do the demo if asked for, and look after it until told to stop."""
        self._start_redis()
        self._prepare_database()
        self._start_work()
        if self.supervisor.stop_requested.is_set():
            return 0
        status = self._run_demo(once=once) if demo else 0
        if self.supervisor.stop_requested.is_set():
            return 1 if demo and once else 0
        if demo and once:
            return status
        self._tell_where(demo=demo)
        while not self.supervisor.stop_requested.is_set():
            self.supervisor.watch()
        return 0

    def _start_redis(self) -> None:
        make_private_folder(self.settings.run_dir)
        socket_path = self.settings.embedded_redis
        for plan in storing_processes(self.settings):
            assert socket_path
            end_leftover(socket_path)
            say(f"Starting an embedded Redis server ({os.path.basename(plan.arguments[0])})")
            self._start(plan)
            if not self.supervisor.wait_for(lambda: answers(socket_path), seconds=30):
                self._give_up("The embedded Redis server does not answer.", plan)

    def _prepare_database(self) -> None:
        say("Bringing the database up to date")
        log_path = self.settings.instance_dir / "logs" / "database.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_path.unlink(missing_ok=True)
        status = self.supervisor.run(flask_command("db", "upgrade"), log_path=log_path)
        if status and not self.supervisor.stop_requested.is_set():
            raise CannotStart(f"The database could not be prepared. {log_path} says:\n{last_lines(log_path)}")

    def _start_work(self) -> None:
        plans = working_processes(self.settings)
        say(f"Starting {', '.join(plan.name for plan in plans)}")
        for plan in plans:
            self._start(plan)
        if self.supervisor.wait_for(self._is_ready, seconds=READY_SECONDS):
            return
        if not self.supervisor.stop_requested.is_set():
            say(f"Not everything is ready yet: {self._what_is_missing()}", error=True)

    def _run_demo(self, *, once: bool) -> int:
        return self.supervisor.run(flask_command("demo", *(["--once"] if once else [])))

    def _tell_where(self, *, demo: bool) -> None:
        say("")
        say(f"Carillon is running at {address_of(self.settings)}")
        if self.settings.trial_mode:
            say(f"Trial mode: mail stays on this machine, read it at {address_of(self.settings)}/inbox")
        if not demo:
            self.supervisor.run(flask_command("setup-link"))
        if self.settings.flower_url:
            say(flower_words(self.settings))
        say(f"Logs are in {self.settings.instance_dir / 'logs'}; Ctrl-C stops everything")

    def _start(self, plan: ProcessPlan) -> None:
        self.supervisor.start(plan, plan.log_path(self.settings))

    def _is_ready(self) -> bool:
        return readiness(self.settings) == {}

    def _what_is_missing(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in readiness(self.settings).items())

    def _give_up(self, sentence: str, plan: ProcessPlan) -> None:
        if not self.supervisor.stop_requested.is_set():
            log_path = plan.log_path(self.settings)
            raise CannotStart(f"{sentence} {log_path} says:\n{last_lines(log_path)}")


def demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the demo: its own data folder, and mail that goes to the built-in catcher only."""
    own = {name: value for name, value in environ.items() if name not in DEMO_DROPS}
    if environ.get("MAIL_SERVER"):
        say("MAIL_SERVER is set; the demo does not use it. Its mail goes to the built-in catcher.")
    own["INSTANCE_DIR"] = os.path.join(environ.get("INSTANCE_DIR") or "instance", "demo")
    return own


def readiness(settings: Settings) -> dict[str, str]:
    """Return what is not ready and why, as the site's own /readyz tells it; empty when all is."""
    # By whatever address it is reached, a request may always carry this machine's own name.
    url, headers = f"{address_of(settings)}/readyz", {"Host": "127.0.0.1"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - always our own http address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _KeepErrors())
    try:
        with opener.open(request, timeout=5) as response:
            checks = json.load(response)["checks"]
    except (OSError, ValueError, KeyError):
        return {"web": "does not answer yet"}
    return {name: why for name, why in checks.items() if why != "ok"}


def address_of(settings: Settings) -> str:
    """Return the address to open in a browser on this machine."""
    return f"http://{reachable_host(settings)}:{settings.port}"


def reachable_host(settings: Settings) -> str:
    """Return the host by which this machine reaches its own web server."""
    if settings.host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{settings.host}]" if ":" in settings.host else settings.host


def flower_words(settings: Settings) -> str:
    """Return the line that says where Flower is, and how one gets in; a password that was given is not repeated."""
    password = "FLOWER_PASSWORD" if settings.flower_password else flower_password(settings)
    return f"Flower is at {settings.flower_url}/ (user {FLOWER_USER}, password {password})"


def flask_command(*arguments: str) -> list[str]:
    """Return the command line of one of our `flask` commands."""
    return [sys.executable, "-m", "flask", "--app", "app", *arguments]


def stop(supervisor: Supervisor) -> None:
    """Stop everything and say so."""
    say("Stopping; what is being sent is finished first. Press Ctrl-C twice more to stop at once.")
    began = time.monotonic()
    supervisor.stop()
    say(f"Stopped after {time.monotonic() - began:.0f} s")


def say(text: str, *, error: bool = False) -> None:
    """Show one line; a terminal that has gone away is no reason to stop sending."""
    try:
        click.echo(text, err=error)
    except OSError:
        return


class _KeepErrors(urllib.request.HTTPErrorProcessor):
    """Returns an answer of 503 like any other: its body says what is missing."""

    def http_response(self, _request: object, response: object) -> object:
        return response


if __name__ == "__main__":
    up()
