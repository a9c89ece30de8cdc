"""What a mail costs, and how much memory a sender takes, in campaigns of three sizes that are sent in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.carillon import CampaignRun, installation
from bench.databases import People, people_in
from bench.more import LIMIT_SECONDS, Say

ROUNDS: Final = 3
# How many campaigns a round sends, by which part of the largest audience each of them goes to.
CAMPAIGNS: Final = {100: 3, 10: 1, 1: 1}


def measure_sizes(kind: str, largest: int, folder: Path, say: Say) -> list[dict[str, Any]]:
    """Send to a hundredth, a tenth and all of the largest audience in turn; tell the median of each, and its memory.

    In turn, for a machine shared with others is faster in one minute than in the next, and the largest takes some.
    """
    runs: dict[int, list[CampaignRun]] = {part: [] for part in CAMPAIGNS}
    with ExitStack() as stack:
        people = {
            part: stack.enter_context(people_in([kind], largest // part, folder / f"part-{part}"))[0]
            for part in CAMPAIGNS
        }
        for _ in range(ROUNDS):
            for part, times in CAMPAIGNS.items():
                for run in _send(people[part], times, warm_up=part != 1):
                    runs[part].append(run)
                    say(f"{run.mails:,} recipients: {1e6 / run.rate:.0f} µs a mail")
    return [{"database": kind, **_median(each)} for each in runs.values()]


def _send(people: People, times: int, *, warm_up: bool) -> Iterator[CampaignRun]:
    """Send so many campaigns in an installation of their own, after one that is not measured.

    A process that has sent nothing yet opens connections and builds statements first, which would be counted as the
    cost of ten thousand mails. Beside the largest audience's that is nothing, so it is not sent to twice.
    """
    with installation(people) as running:
        if warm_up:
            running.send_campaign("plain", limit_seconds=LIMIT_SECONDS)
        for _ in range(times):
            yield running.send_campaign("plain", limit_seconds=LIMIT_SECONDS)


def _median(runs: list[CampaignRun]) -> dict[str, Any]:
    """Return the run whose rate is the median, with the most memory that any of them took, and what each took."""
    told = sorted((run.to_json() for run in runs), key=lambda each: float(each["rate"]))
    most = {name: _most(told, name) for name in ("sender_peak_rss_mb", "sender_peak_pss_mb")}
    return {**told[len(told) // 2], **most, "runs": [run.to_json()["microseconds_per_mail"] for run in runs]}


def _most(told: list[dict[str, Any]], name: str) -> float | None:
    return max((each[name] for each in told if each[name] is not None), default=None)
