"""What is stuck, in words, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import ngettext

from campaigns.ops.stuck import Stuck, StuckKind
from campaigns.ops.task_objects import TaskObject
from campaigns.ops.wording import lane_words, task_words
from campaigns.presentation import format_number


@dataclass(frozen=True)
class StuckWords:
    """One line of the list: what, about what, in whose hands, since when, and what helps."""

    what: str
    about: TaskObject
    worker: str
    since: datetime | None
    advice: str


def in_words(stuck: Stuck) -> StuckWords:
    """Return a finding as people read it."""
    return StuckWords(_what(stuck), stuck.about, stuck.worker, stuck.since, _advice(stuck))


def _what(stuck: Stuck) -> str:
    number = format_number(stuck.count)
    words = {
        StuckKind.LONG_TASK: _("Runs too long: %(task)s", task=task_words(stuck.task)),
        StuckKind.LOST_TASK: _("Its worker stopped responding: %(task)s", task=task_words(stuck.task)),
        StuckKind.CAMPAIGN_LATE: _("A campaign that should have started has not"),
        StuckKind.FREEZE: _("A campaign’s recipients are not being prepared"),
        StuckKind.CAMPAIGN: _("A campaign is being sent, but no worker is sending it"),
        StuckKind.LEASE: _("A batch that a worker let go of was not taken over"),
        StuckKind.IMPORT: _("An import does not get on"),
        StuckKind.MAIL: ngettext(
            "%(number)s single mail has not gone out", "%(number)s single mails have not gone out", stuck.count,
            number=number,
        ),
        StuckKind.LANE: _("Nobody takes messages of this lane: %(lane)s (%(number)s)", lane=lane_words(stuck.task),
                          number=number),
        StuckKind.TIMER: _("The timer (beat) does not report"),
        StuckKind.TICK: _("The timer’s tick has not come through"),
        StuckKind.BROKER: _("The message queue cannot be reached"),
    }  # fmt: skip
    return str(words[stuck.kind])


def _advice(stuck: Stuck) -> str:
    look = _("See that a worker of the lane “%(lane)s” and the timer run; they take it up by themselves.", lane="work")
    words = {
        StuckKind.LONG_TASK: _("Look at the worker’s log. Ending the worker is safe: the task runs again elsewhere."),
        StuckKind.LOST_TASK: _("See whether its machine is there. The task runs again by itself within 15 minutes."),
        StuckKind.CAMPAIGN_LATE: look,
        StuckKind.FREEZE: look,
        StuckKind.CAMPAIGN: _("See that a worker of the lane “%(lane)s” runs, and look at its log.", lane="mail.bulk"),
        StuckKind.LEASE: look,
        StuckKind.IMPORT: look,
        StuckKind.MAIL: _(
            "See that the mail server answers and a worker of the lane “%(lane)s” runs.", lane="mail.now"
        ),
        StuckKind.LANE: _("Start a worker: %(command)s", command=f"python -m celery_worker worker -Q {stuck.task}"),
        StuckKind.TIMER: _("Start the timer: %(command)s", command="python -m celery_worker beat"),
        StuckKind.TICK: _("See that a worker of the lane “%(lane)s” runs, and whether its queue is long.", lane="work"),
        StuckKind.BROKER: _("Start it again. What waits is in the database and goes out when it is back."),
    }
    return str(words[stuck.kind])
