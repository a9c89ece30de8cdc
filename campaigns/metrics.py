"""Numbers for Prometheus that arise inside processes, and the folder in which all processes of a machine share them.

Each process writes to files of its own, mapped into its memory, so counting costs no lock and no call between
processes; whoever is asked for /metrics adds all files up. What processes have counted that have ended is folded into
one file, so that sums never fall and the folder never grows. Nothing here ever raises for a full disk or a folder that
cannot be written: the numbers are then this process's own and nobody sees them, and the work goes on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the client library looks for the folder, in its own process
FILE_BYTES = 65_536
NOBODY = 0  # the process id under which the counts of ended processes are kept
KINDS = ("counter", "histogram")
WEB = "web"  # what a process of the web site is called
STARTED_NAME = "carillon_process_start_time_seconds"
FORGOTTEN_AFTER_SECONDS = 7 * 86_400

# Every instrument has labels: without them the library would open its files when this module is imported.
HTTP_SECONDS = Histogram(
    "carillon_http_request_duration_seconds",
    "How long the web site took to answer, by endpoint and class of status.",
    ["endpoint", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=None,
)
TASK_SECONDS = Histogram(
    "carillon_task_duration_seconds",
    "How long tasks ran, by name and outcome: success, failure or retry.",
    ["task", "outcome"],
    buckets=(0.01, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 900),
    registry=None,
)
MAILS = Counter(
    "carillon_mails_total",
    "Mails that were decided on, by kind, outcome and group of recipient domains; a mail tried again counts again.",
    ["kind", "outcome", "domain_group"],
    registry=None,
)
SMTP_REPLIES = Counter(
    "carillon_smtp_replies_total",
    "What mail servers answered to mails and to being called: 2xx, 4xx, 5xx, or a lost connection, or a timeout.",
    ["server", "reply"],
    registry=None,
)
PROCESS_STARTED = Gauge(
    STARTED_NAME,
    "When each living process began to work, in seconds since 1970.",
    ["process"],
    multiprocess_mode="liveall",
    registry=None,
)
INSTRUMENTS = (HTTP_SECONDS, TASK_SECONDS, MAILS, SMTP_REPLIES, PROCESS_STARTED)

logger = logging.getLogger(__name__)


def share_counts(folder: Path) -> None:
    """Have this process count in files of `folder`; made if need be. Harmless to repeat.

    With another folder than before, this process begins again from nothing: only tests have several installations.
    """
    if shared_folder() == folder and values.ValueClass is not values.MutexValue:
        return
    _count_alone()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        logger.warning("%s cannot be made, so this process's numbers are not in /metrics: %s", folder, error)
        return
    os.environ[FOLDER] = str(folder)
    values.ValueClass = _SharedValues()


def begin_process(name: str) -> None:
    """Announce this process by what it is, as in "web" or "mail.bulk", and tidy up after those that have ended."""
    folder = shared_folder()
    if folder is None:
        return
    try:
        fold_ended(folder)
        _forget_other_machines(folder)
        for kind in (*KINDS, "gauge_liveall"):
            _reserve(folder / f"{kind}_{os.getpid()}.db", FILE_BYTES)
    except OSError as error:
        logger.warning("this process's numbers are not in /metrics: %s", error)
        _count_alone()
    PROCESS_STARTED.labels(name).set(time.time())


def count_mails(kind: str, mails: Mapping[tuple[str, str], int]) -> None:
    """Count mails that were decided on, by (outcome, domain group); `kind` is "campaign" or "single"."""
    for (outcome, domain_group), number in mails.items():
        MAILS.labels(kind, outcome, domain_group).inc(number)


def count_replies(replies: Mapping[tuple[str, str], int]) -> None:
    """Count answers by (mail server, class of reply)."""
    for (server, reply), number in replies.items():
        SMTP_REPLIES.labels(server, reply).inc(number)


def shared_folder() -> Path | None:
    """Return the folder in which this process counts; None when it counts alone."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else None


def counted_by_all(folder: Path) -> list[Metric]:
    """Return what all processes that share the folder have counted, those that have ended too. Raises OSError."""
    fold_ended(folder)
    with _locked(folder, fcntl.LOCK_SH):
        collector = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]
        found: list[Metric] = list(collector.collect())  # type: ignore[no-untyped-call]
    # What else runs in one of the processes may use the same library.
    return [metric for metric in found if metric.name.startswith("carillon_")]


def fold_ended(folder: Path) -> None:
    """Fold the counts of processes that have ended into one file and remove theirs.

    Does nothing while somebody else does it or reads. A crash between the two steps makes sums fall, which Prometheus
    takes for a restart; the other way round they would count twice.
    """
    with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_ours:
        ended = [pid for pid in _counting(folder) if not _is_running(pid)] if is_ours else []
        for kind in KINDS:
            _fold(folder, kind, ended)
        for pid in ended:
            for left in folder.glob(f"*_{pid}.db"):
                left.unlink(missing_ok=True)


def _fold(folder: Path, kind: str, ended: Iterable[int]) -> None:
    kept = folder / f"{kind}_{NOBODY}.db"
    files = [path for pid in ended if (path := folder / f"{kind}_{pid}.db").exists()]
    if not files:
        return
    sums: defaultdict[str, float] = defaultdict(float)
    for path in (*files, kept):
        for key, value in _read(path):
            sums[key] += value
    fresh = kept.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _reserve(fresh, max(FILE_BYTES, sum(len(key.encode()) + 64 for key in sums)))
    file = MmapedDict(str(fresh))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        file.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]
    for path in files:
        path.unlink()
    fresh.replace(kept)


def _read(path: Path) -> list[tuple[str, float]]:
    """Return what a file holds of ours; nothing when it is not there, or its process ended as it made it."""
    if not path.exists() or path.stat().st_size == 0:
        return []
    rows = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    return [(key, value) for key, value, _, _ in rows if key.startswith('["carillon_')]


class _SharedValues:
    """Makes numbers in the shared folder, and this process's own ones once that has been removed."""

    def __init__(self) -> None:
        self._make: Any = values.MultiProcessValue()  # type: ignore[no-untyped-call]

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return self._make(*arguments, **options)
        except OSError as error:
            logger.warning("this process's numbers are not in /metrics any more: %s", error)
            os.environ.pop(FOLDER, None)
            values.ValueClass = values.MutexValue
            return values.MutexValue(*arguments, **options)  # type: ignore[no-untyped-call]

    def close_all_files(self) -> None:
        self._make.close_all_files()


def _count_alone() -> None:
    os.environ.pop(FOLDER, None)
    for instrument in INSTRUMENTS:
        instrument.clear()
    if isinstance(values.ValueClass, _SharedValues):
        values.ValueClass.close_all_files()
    values.ValueClass = values.MutexValue


def _reserve(path: Path, size_bytes: int) -> None:
    """Write a file of zeros: one mapped without its space on the disk would end the process when the disk is full."""
    if not path.exists():
        path.write_bytes(bytes(size_bytes))


def _counting(folder: Path) -> set[int]:
    """Return the ids of processes that have files in the folder."""
    pids = {path.stem.rpartition("_")[2] for path in folder.glob("*.db")}
    return {int(pid) for pid in pids if pid.isdigit()} - {NOBODY}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _forget_other_machines(folder: Path) -> None:
    """Remove what machines left in a shared instance folder that have counted nothing for a week."""
    for other in folder.parent.iterdir():
        # The folder's own time too: a command in a container of its own leaves one without files.
        last_sign = max(path.stat().st_mtime for path in (other, *other.glob("*.db")))
        if other != folder and last_sign < time.time() - FORGOTTEN_AFTER_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold the folder's lock; tells whether it was to be had."""
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            yield False
            return
        yield True
