"""Watching a campaign from the command line until nothing more will happen by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from campaigns.celery import LANES
from campaigns.compose.models import FINAL_STATES, CampaignState
from campaigns.delivery.queries import Totals, campaign_totals
from campaigns.extensions import db
from campaigns.ops.command_line import tell
from campaigns.ops.heartbeats import Kind, all_heartbeats, is_fresh

POLL_SECONDS = 0.5
BAR_WIDTH = 30
STEPS = 10  # how many lines are written at most where no terminal can rewrite its line
STOPPED_STATES = FINAL_STATES | {CampaignState.PAUSED, CampaignState.APPROVAL}

TERMS = ("sent", "failed", "skipped", "cancelled", "uncertain", "deferred", "sending", "waiting")


def watch_campaign(campaign_id: int, *, draw: Callable[[Totals], None]) -> Totals:
    """Wait until a campaign is sent, cancelled or paused; calls `draw` with the totals twice a second."""
    while True:
        totals = campaign_totals(campaign_id)
        db.session.rollback()  # the next look must see what others have written
        draw(totals)
        if totals.state in STOPPED_STATES:
            return totals
        time.sleep(POLL_SECONDS)


class ProgressLine:
    """A progress bar on standard error: one line that rewrites itself, or a line for each tenth where it cannot."""

    def __init__(self) -> None:
        self._rewrites = sys.stderr.isatty()
        self._began = time.monotonic()
        self._said = ""

    def draw(self, totals: Totals) -> None:
        """Show how far a campaign is."""
        is_over = totals.state in STOPPED_STATES
        text = progress_text(totals, time.monotonic() - self._began)
        if self._rewrites:
            tell(f"\r\x1b[K{text}", nl=is_over)
            return
        step = f"{totals.state} {totals.done * STEPS // totals.recipients if totals.recipients else 0}"
        if step != self._said:
            self._said = step
            tell(text)


def progress_text(totals: Totals, seconds: float) -> str:
    """Return a bar, the share and the count; before the recipients are known, what is being waited for."""
    if not totals.recipients:
        return {"preparing": "Preparing the recipients"}.get(totals.state, totals.state.capitalize())
    share = totals.done / totals.recipients
    filled = int(share * BAR_WIDTH)
    bar = "█" * filled + "░" * (BAR_WIDTH - filled)
    return f"{bar} {share:4.0%}  {totals.done:,} of {totals.recipients:,} in {seconds:.0f} s"


def equation(totals: Totals) -> str:
    """Return the two lines by which every recipient is accounted for."""
    parts = " + ".join(f"{getattr(totals, term):,} {term}" for term in TERMS)
    return (
        f"{totals.candidates:,} candidates = {totals.excluded:,} excluded + {totals.recipients:,} recipients\n"
        f"{totals.recipients:,} recipients = {parts}"
    )


def lanes_without_worker() -> list[str]:
    """Return the lanes that no worker has reported for lately."""
    fresh = [each for each in all_heartbeats() if each.kind == Kind.WORKER and is_fresh(each)]
    served = {lane for each in fresh for lane in each.lanes.split(",")}
    return [lane for lane in LANES if lane not in served]
