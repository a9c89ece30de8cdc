"""Starting a periodic job by hand."""

from __future__ import annotations

from campaigns.audit.services import Target, record_action
from campaigns.extensions import db
from campaigns.ops.scheduled import is_clock_job
from campaigns.ops.wording import task_words
from campaigns.periodic_jobs import make_due


def start_job(name: str) -> bool:
    """Make a periodic job due and note who asked for it; False when it is running already. Commits.

    The edge enqueues the task afterwards.
    """
    started = make_due(name) if is_clock_job(name) else True
    if started:
        record_action("job.started", Target("job", name, task_words(name)))
    db.session.commit()
    return started
