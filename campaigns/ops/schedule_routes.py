"""The schedule: what runs by itself, when, what came of it, and running it now."""

from __future__ import annotations

from flask import current_app, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.delivery.local_times import zone_label
from campaigns.errors import NotFound
from campaigns.ops.blueprint import bp
from campaigns.ops.schedule_services import start_job
from campaigns.ops.scheduled import is_periodic, read_schedule
from campaigns.ops.wording import count_words, task_words
from campaigns.rate_limits import is_first
from campaigns.security import Right, requires


@bp.get("/jobs/schedule")
@requires(Right.SEE_JOBS)
def schedule() -> str:
    """Show every periodic job with its rule, its last run and its next."""
    return render_template(
        "ops/schedule.html",
        schedule=read_schedule(),
        task_words=task_words,
        count_words=count_words,
        zone_label=zone_label,
        now=utcnow,
    )


@bp.post("/jobs/schedule/<name>/run")
@requires(Right.MANAGE_JOBS)
def run_job(name: str) -> Response:
    """Run a periodic job now; one that is running already is left alone."""
    if not is_periodic(name):
        raise NotFound(_("There is no such job."))
    if not is_first("run", name, within_seconds=5) or not start_job(name):
        flash(_("This job is running already: %(job)s.", job=task_words(name)), "info")
    elif enqueue(current_app.extensions["celery"].tasks[name]):
        flash(_("Started: %(job)s.", job=task_words(name)), "ok")
    else:
        flash(_("The queue does not answer, so nothing was started. Try again when it is back."), "bad")
    return redirect(url_for("ops.schedule"), code=303)
