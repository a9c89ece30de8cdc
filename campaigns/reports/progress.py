"""Where a campaign stands, as its progress page says it. Pure: numbers and a clock in, words' ingredients out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery.queries import Totals

FIRST_MINUTES: Final = timedelta(minutes=5)
SETTLING_TIME: Final = timedelta(seconds=30)
SETTLING_SHARE: Final = 0.02


class Phase(StrEnum):
    """What the page shows: the campaign's state, seen through its numbers. The values are the badges' names."""

    DRAFT = "draft"
    APPROVAL = "approval"
    SCHEDULED = "scheduled"
    STARTING = "starting"
    PREPARING = "preparing"
    SENDING = "sending"
    PAUSING = "pausing"
    PAUSED = "paused"
    FINISHING = "finishing"
    SENT = "sent"
    PARTLY_FAILED = "partly_failed"
    NEEDS_REVIEW = "needs_review"
    CANCELLED = "cancelled"


FINAL_PHASES: Final = frozenset({Phase.SENT, Phase.PARTLY_FAILED, Phase.NEEDS_REVIEW, Phase.CANCELLED})
RUNNING_PHASES: Final = frozenset({Phase.SENDING, Phase.PAUSING, Phase.PAUSED, Phase.FINISHING})


@dataclass(frozen=True)
class Progress:
    """One look at a campaign. `rate` is mails a second over the last minute; None when nothing is known yet.

    `undecided` is how many of the uncertain no person has decided on.
    """

    phase: Phase
    totals: Totals
    undecided: int
    rate: float | None
    seconds_left: float | None
    seconds_to_start: int
    poll_seconds: int | None

    @property
    def open(self) -> int:
        """How many recipients have no outcome yet."""
        return self.totals.waiting + self.totals.sending + self.totals.deferred

    @property
    def handled(self) -> int:
        """How many recipients have an outcome."""
        return self.totals.recipients - self.open

    @property
    def share(self) -> float:
        """The handled part of all recipients, from 0 to 1."""
        return self.handled / self.totals.recipients if self.totals.recipients else 0.0

    @property
    def percent(self) -> int:
        """The share in whole percent, rounded down: 100 is only said when everybody has an outcome."""
        return int(self.share * 100)

    @property
    def quarter(self) -> int:
        """The last quarter passed, in percent; what a screen reader is told about."""
        return self.percent // 25 * 25

    @property
    def has_numbers(self) -> bool:
        """Whether the audience has been frozen, so that there is something to count."""
        return self.phase in RUNNING_PHASES or (self.phase in FINAL_PHASES and self.totals.candidates > 0)


def look(
    campaign: Campaign, totals: Totals, *, rate: float | None, now: datetime, undecided: int | None = None
) -> Progress:
    """Return one look at a campaign at the moment `now`; without `undecided` nobody has decided on anything."""
    phase = phase_of(campaign.state, totals, undecided=undecided)
    return Progress(
        phase=phase,
        totals=totals,
        undecided=totals.uncertain if undecided is None else undecided,
        rate=rate,
        seconds_left=_seconds_left(campaign, totals, rate, now) if phase is Phase.SENDING else None,
        seconds_to_start=_seconds_to_start(campaign, now),
        poll_seconds=_poll_seconds(phase, campaign, totals, now),
    )


def phase_of(state: str, totals: Totals, *, undecided: int | None = None) -> Phase:
    """Return what to call a campaign in this state with these numbers; `undecided` as in `look`."""
    if state == CampaignState.PAUSED:
        return Phase.PAUSING if totals.sending else Phase.PAUSED
    if state == CampaignState.SENDING and totals.recipients and not totals.waiting and not totals.deferred:
        return Phase.FINISHING
    if state == CampaignState.SENT and (totals.uncertain if undecided is None else undecided):
        return Phase.NEEDS_REVIEW
    if state == CampaignState.SENT and totals.cancelled:
        return Phase.CANCELLED  # reopened for some after a cancel, but not for all
    if state == CampaignState.SENT and totals.failed:
        return Phase.PARTLY_FAILED
    return Phase(state)


def _seconds_left(campaign: Campaign, totals: Totals, rate: float | None, now: datetime) -> float | None:
    """Guess how long it takes, rounded as people say it; None until there is something to guess from."""
    if not rate or campaign.trouble or not campaign.frozen_at or not totals.recipients:
        return None
    left = totals.waiting + totals.sending
    done = totals.recipients - left - totals.deferred
    if now - campaign.frozen_at < SETTLING_TIME and done / totals.recipients < SETTLING_SHARE:
        return None
    return _rounded(left / rate)


def _rounded(seconds: float) -> float:
    """Round to 10 seconds, minutes, 5 minutes or half hours, so that the words do not flicker."""
    steps = ((60, 10), (600, 60), (3600, 300))
    step = next((step for below, step in steps if seconds < below), 1800)
    return max(step, round(seconds / step) * step)


def _seconds_to_start(campaign: Campaign, now: datetime) -> int:
    starts_at = {CampaignState.STARTING: campaign.hold_until, CampaignState.SCHEDULED: campaign.scheduled_at}.get(
        CampaignState(campaign.state)
    )
    return max(0, round((starts_at - now).total_seconds())) if starts_at else 0


def _poll_seconds(phase: Phase, campaign: Campaign, totals: Totals, now: datetime) -> int | None:
    # A cancelled campaign's rows are marked batch by batch; until the last one the numbers still move.
    is_settled = totals.waiting + totals.sending + totals.deferred == 0
    if phase is Phase.DRAFT or (phase in FINAL_PHASES and is_settled):
        return None
    if phase in (Phase.PAUSED, Phase.APPROVAL) or (phase is Phase.SCHEDULED and _seconds_to_start(campaign, now) > 15):
        return 10
    is_long = campaign.frozen_at is not None and now - campaign.frozen_at > FIRST_MINUTES
    return 5 if is_long else 2
