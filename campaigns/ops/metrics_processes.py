"""The part of /metrics that the processes of this machine have counted, and what the machine says of them."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from campaigns import __version__
from campaigns.config import current_settings
from campaigns.errors import TemporaryError
from campaigns.metrics import STARTED_NAME, WEB, counted_by_all, shared_folder

PROC = Path("/proc")
BOOT_SLACK_SECONDS = 2.0  # how far the kernel's idea of when a process started may be from ours
LABELS = ("process", "pid")
_USER_TIME, _SYSTEM_TIME, _START_TIME, _MEMORY_PAGES = 11, 12, 19, 21  # places in /proc/PID/stat after the name


class CountsAlone(TemporaryError):
    """This process could not open the folder that all share; its log says why."""


@dataclass(frozen=True)
class ProcessUse:
    """What one process of ours uses now."""

    cpu_seconds: float
    memory_bytes: int
    open_files: int


def read_processes() -> list[Metric]:
    """Return what this machine's processes have counted and use. Raises CountsAlone or OSError."""
    folder = shared_folder()
    if folder is None:
        raise CountsAlone("this process counts alone")
    counted = counted_by_all(folder)
    uses = _uses(counted)
    living = [_only(metric, uses) if metric.name == STARTED_NAME else metric for metric in counted]
    return [*living, *_use_metrics(uses), _disk(), _build()]


def read_processes_of_workers() -> list[Metric]:
    """Return the same for METRICS_PORT; while this machine has a web site only that its page has them, or they would
    be added up twice.
    """
    found = read_processes()
    living = [sample for metric in found if metric.name == STARTED_NAME for sample in metric.samples]
    has_site = any(sample.labels["process"] == WEB for sample in living)
    told = GaugeMetricFamily(
        "carillon_counted_by_web_site",
        "Whether this machine's numbers are at its web site.",
        value=has_site,
    )
    return [told] if has_site else [*found, told]


def _uses(counted: Iterable[Metric]) -> dict[tuple[str, str], ProcessUse]:
    """Return what each of our living processes uses, by name and process id; empty where the system has no /proc."""
    started = [sample for metric in counted if metric.name == STARTED_NAME for sample in metric.samples if sample.value]
    found = {
        (sample.labels["process"], sample.labels["pid"]): _use_of(sample.labels["pid"], sample.value)
        for sample in started
    }
    return {process: use for process, use in found.items() if use is not None}


def _use_of(pid: str, began_at: float) -> ProcessUse | None:
    """Read what a process uses; None when it has ended, or its id is somebody else's by now."""
    try:
        stat = (PROC / pid / "stat").read_text().rpartition(")")[2].split()
        open_files = len(os.listdir(PROC / pid / "fd"))
    except OSError:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    if _booted_at() + int(stat[_START_TIME]) / ticks > began_at + BOOT_SLACK_SECONDS:
        return None
    cpu_seconds = (int(stat[_USER_TIME]) + int(stat[_SYSTEM_TIME])) / ticks
    return ProcessUse(cpu_seconds, int(stat[_MEMORY_PAGES]) * os.sysconf("SC_PAGE_SIZE"), open_files)


def _booted_at() -> float:
    lines = (PROC / "stat").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime "))


def _only(metric: Metric, uses: dict[tuple[str, str], ProcessUse]) -> Metric:
    """Leave out the processes that are not ours any more, and names that a process has only inherited."""
    metric.samples = [
        sample for sample in metric.samples
        if sample.value and (not PROC.exists() or tuple(sample.labels[label] for label in LABELS) in uses)
    ]  # fmt: skip
    return metric


def _use_metrics(uses: dict[tuple[str, str], ProcessUse]) -> list[Metric]:
    cpu = CounterMetricFamily(
        "carillon_process_cpu_seconds_total", "Time on a processor that each living process has had.", labels=LABELS
    )
    memory = GaugeMetricFamily(
        "carillon_process_resident_memory_bytes", "Memory that each living process holds.", labels=LABELS
    )
    files = GaugeMetricFamily(
        "carillon_process_open_fds", "Files and connections that each living process has open.", labels=LABELS
    )
    for process, use in uses.items():
        cpu.add_metric(process, use.cpu_seconds)
        memory.add_metric(process, use.memory_bytes)
        files.add_metric(process, use.open_files)
    return [cpu, memory, files]


def _disk() -> Metric:
    free = shutil.disk_usage(current_settings().instance_dir).free
    return GaugeMetricFamily("carillon_disk_free_bytes", "Room left where the instance folder lies.", value=free)


def _build() -> Metric:
    build = GaugeMetricFamily("carillon_build_info", "Which Carillon, on which Python.", labels=["version", "python"])
    build.add_metric([__version__, platform.python_version()], 1)
    return build
