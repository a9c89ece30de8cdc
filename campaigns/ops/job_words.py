"""What the templates of the jobs page call to say things in words."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from campaigns.celery import LANES
from campaigns.clock import utcnow
from campaigns.ops.failure_kinds import FailureKind
from campaigns.ops.heartbeats import is_fresh
from campaigns.ops.models import FailedTask
from campaigns.ops.repeating import is_repeatable, what_a_repeat_does
from campaigns.ops.stuck_words import in_words
from campaigns.ops.task_objects import object_of
from campaigns.ops.wording import lane_words, task_words


def job_words() -> dict[str, Any]:
    """Return the functions that the templates of the jobs page use, by name."""
    return {
        "lanes": LANES,
        "lane_words": lane_words,
        "words_of": lambda lanes: ", ".join(lane_words(lane) for lane in lanes),
        "task_words": task_words,
        "is_fresh": is_fresh,
        "now": utcnow,
        "object_of": object_of,
        "kind_words": kind_words,
        "reason_words": reason_words,
        "is_repeatable": is_repeatable,
        "what_a_repeat_does": what_a_repeat_does,
        "in_words": in_words,
    }


def kind_words(kind: str) -> str:
    """Return how a task ended, in words; empty for one that simply raised."""
    words = {
        FailureKind.SOFT_LIMIT: _("Took too long"),
        FailureKind.HARD_LIMIT: _("Took too long, ended"),
        FailureKind.WORKER_LOST: _("Its process died"),
        FailureKind.REVOKED: _("Ended by hand"),
        FailureKind.UNKNOWN: _("Unknown task"),
        FailureKind.REJECTED: _("Not a task’s message"),
        FailureKind.UNDECODABLE: _("Unreadable message"),
        FailureKind.PROCESS_DIED: _("Process died"),
        FailureKind.BEAT_CRASHED: _("Process crashed"),
    }
    return str(words.get(FailureKind(kind), "")) if kind in set(FailureKind) else kind


def reason_words(failed: FailedTask) -> str:
    """Return why a task failed, in the reader's language where the reason is ours to say; else what was raised."""
    words = {
        FailureKind.SOFT_LIMIT: _("It ran longer than its time limit."),
        FailureKind.HARD_LIMIT: _("It ran longer than its time limit."),
        FailureKind.WORKER_LOST: _("The process ended under it; the task went back into its queue."),
        FailureKind.REVOKED: _("Somebody ended or took back the task."),
        FailureKind.UNKNOWN: _("No such task: this worker runs another version."),
        FailureKind.REJECTED: _("The message was no task’s and was refused."),
        FailureKind.UNDECODABLE: _("The message cannot be decoded."),
        FailureKind.PROCESS_DIED: _("It ended without signing off: it was killed, or its machine went away."),
    }
    return str(words.get(FailureKind(failed.kind), failed.reason)) if failed.kind in set(FailureKind) else failed.reason
