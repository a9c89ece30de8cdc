"""What a drill plays on: the mail server, a Redis, the workers of every lane and beat; each can be broken by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from flask import current_app
from kombu.exceptions import OperationalError as BrokerError
from kombu.simple import SimpleQueue
from redis.exceptions import RedisError

from campaigns.celery import BULK, LANES
from campaigns.config import Settings
from campaigns.mail.mail_servers import servers
from campaigns.ops.drill_sink import DrillSink
from campaigns.ops.embedded_redis import answers
from campaigns.ops.process_sockets import client_ports, is_stopped
from campaigns.ops.processes import ProcessPlan, child_environment, storing_processes, working_processes
from campaigns.ops.run_folder import make_private_folder
from campaigns.ops.supervisor import FIRST_PAUSE_SECONDS, Child, Supervisor

NOT_NEEDED = ("web", "catcher")
START_SECONDS = 30.0
STANDSTILL_SECONDS = 1.0


@dataclass
class Stage:
    """All parts of one drill. Every method is for the main thread, which also looks after the processes."""

    settings: Settings
    environ: Mapping[str, str]
    say: Callable[[str], None]
    most_uncertain_by_kills: int = 0  # of processes that the stage has not killed itself
    knows_whose: bool = True  # whose connections were open at a kill; else everybody's count
    last_cut: int = 0  # how many connections the sender that was killed last had open
    sink: DrillSink = field(init=False)
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        (server,) = servers(self.settings)
        record, port = self.settings.instance_dir / "accepted.tsv", server.settings.port
        self.sink = DrillSink(record, port=port, offers_chunking=server.settings.use_chunking)
        self.supervisor = Supervisor(child_environment(self.settings, {**self.environ, "LOG_LEVEL": "info"}), self.say)

    @property
    def most_uncertain(self) -> int:
        """Return how many recipients may be uncertain: one for each connection that was cut, or a killed process's."""
        return len(self.sink.cut_connections) + self.most_uncertain_by_kills

    @property
    def record_path(self) -> Path:
        return self.sink.record_path

    def start(self) -> None:
        """Start the mail server and Redis. Raises OSError when somebody else has the port."""
        self.start_sink()
        self.start_redis()

    def start_sink(self) -> None:
        """Start the mail server alone. Raises OSError when somebody else has the port."""
        self.sink.start()
        make_private_folder(self.settings.run_dir)

    def start_redis(self) -> None:
        """Start Redis and wait until it answers."""
        for plan in storing_processes(self.settings):
            self._start(plan)
        self.wait_for_redis()

    def start_workers(self, *, but: Callable[[str], bool] = lambda _: False) -> None:
        """Start the workers of every lane, and beat, but those whose name is left out."""
        for plan in working_processes(self.settings):
            if plan.name not in NOT_NEEDED and not but(plan.name):
                self._start(plan)

    def stop(self) -> None:
        """End every process by its id, and the mail server."""
        self.supervisor.stop()
        self.sink.stop()

    def stop_workers(self) -> None:
        """Stop workers and beat as a deploy does; Redis and the mail server go on."""
        for child in self.working():
            self.let_go(child, signal.SIGTERM)

    def wait_for_redis(self) -> bool:
        """Wait until Redis answers."""
        socket = self.settings.embedded_redis
        assert socket is not None
        return self.supervisor.wait_for(lambda: answers(socket), seconds=START_SECONDS)

    def watch(self, seconds: float) -> None:
        """Let time pass, looking after the processes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.supervisor.stop_requested.is_set():
            self.supervisor.watch(seconds=min(0.1, left))

    def child(self, name: str) -> Child:
        """Return the process of that name."""
        return next(child for child in self.supervisor.children if child.plan.name == name)

    def working(self) -> list[Child]:
        """Return the workers and beat."""
        return [child for child in self.supervisor.children if child.plan.name != "redis"]

    def senders(self) -> list[Child]:
        """Return the workers that send campaigns and are running now."""
        return [child for child in self.working() if BULK in child.plan.name and child.process]

    def kill(self, child: Child, number: signal.Signals = signal.SIGKILL) -> bool:
        """Signal a process and all that it started; it is started again. Tells whether it was running."""
        if child.process is None or child.process.poll() is not None:
            return False
        child.pause_seconds = FIRST_PAUSE_SECONDS
        if number == signal.SIGKILL:
            self._expect_cut(child, child.process.pid)
            os.killpg(child.process.pid, number)
        else:
            child.process.send_signal(number)
        return True

    def _expect_cut(self, child: Child, pid: int) -> None:
        """Count the connections of a process that is about to be killed; it stands still, so that none are added."""
        if BULK not in child.plan.name:
            return
        os.killpg(pid, signal.SIGSTOP)
        deadline = time.monotonic() + STANDSTILL_SECONDS
        while not is_stopped(pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        ports = client_ports(self.sink.port, group=pid)
        self.knows_whose = self.knows_whose and ports is not None
        self.last_cut = self.sink.expect_cut(ports)

    def let_go(self, child: Child, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a process, wait for its end, and do not start it again."""
        self.supervisor.children.remove(child)
        if self.kill(child, number) and child.process:
            child.process.wait()

    def redis(self) -> redis.Redis:
        """Return a client of the drill's own Redis."""
        return redis.Redis(unix_socket_path=str(self.settings.embedded_redis), socket_timeout=5)

    def flush_redis(self) -> bool:
        """Empty the drill's own Redis, queues, unacknowledged messages, chord counts and all."""
        try:
            with self.redis() as client:
                return bool(client.flushall())
        except RedisError:
            return False

    def drop_messages(self, most: int) -> int:
        """Take messages out of the queues without running them; returns how many there were."""
        celery: Any = current_app.extensions["celery"]
        dropped = 0
        try:
            with celery.connection_for_read() as connection:
                for lane in LANES:
                    queue = SimpleQueue(connection, celery.amqp.queues[lane])
                    while dropped < most:
                        try:
                            queue.get(block=False).ack()
                        except queue.Empty:
                            break
                        dropped += 1
                    queue.close()
        except (BrokerError, RedisError, OSError):
            return dropped
        return dropped

    def _start(self, plan: ProcessPlan) -> None:
        self.supervisor.start(plan, plan.log_path(self.settings))
