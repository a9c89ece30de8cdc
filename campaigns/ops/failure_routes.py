"""Failed tasks: one of them with its traceback, and running again or setting aside one or all of a group."""

from __future__ import annotations

from flask import current_app, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from campaigns.celery import enqueue
from campaigns.errors import NotFound
from campaigns.ops.blueprint import bp
from campaigns.ops.failed_tasks import (
    RUN_AGAIN,
    SET_ASIDE,
    distinct_arguments,
    find_failure,
    open_of_group,
    reopen_failures,
    settle_failure,
    settle_group,
)
from campaigns.ops.job_words import job_words
from campaigns.ops.models import FailedTask
from campaigns.ops.repeating import is_repeatable
from campaigns.ops.schedule_services import start_job
from campaigns.ops.scheduled import is_clock_job
from campaigns.ops.wording import task_words
from campaigns.rate_limits import is_first
from campaigns.security import Right, requires

MOST_AT_ONCE = 500  # tasks that one click starts


@bp.get("/jobs/failed/<int:failed_id>")
@requires(Right.SEE_JOBS)
def failed_task(failed_id: int) -> str:
    """Show one failed task with its traceback, and the others that failed for the same reason."""
    failed = _failure(failed_id)
    alike = [each for each in open_of_group(failed.group_key) if each.id != failed.id]
    return render_template("ops/failed_task.html", failed=failed, alike=alike, **job_words())


@bp.post("/jobs/failed/<int:failed_id>/run-again")
@requires(Right.MANAGE_JOBS)
def run_again(failed_id: int) -> Response:
    """Put a failed task back into its queue; all our tasks may be repeated without sending anything twice."""
    failed = _failure(failed_id)
    if not _can_run(failed):
        flash(_("This task cannot be run again from here. Set it aside."), "bad")
    elif not settle_failure(failed_id, how=RUN_AGAIN):
        flash(_("Somebody has already dealt with this task."), "info")
    elif is_clock_job(failed.name) and not start_job(failed.name):
        flash(_("This job is running already: %(job)s.", job=task_words(failed.name)), "info")
    elif _start(failed):
        flash(_("The task was started again."), "ok")
    else:
        reopen_failures([failed_id])
        flash(_("The queue does not answer, so nothing was started. Try again when it is back."), "bad")
    return _back()


@bp.post("/jobs/failed/<int:failed_id>/set-aside")
@requires(Right.MANAGE_JOBS)
def set_aside(failed_id: int) -> Response:
    """Take a failed task off the page without running it."""
    _failure(failed_id)
    if settle_failure(failed_id, how=SET_ASIDE):
        flash(_("The failed task was set aside."), "ok")
    else:
        flash(_("Somebody has already dealt with this task."), "info")
    return _back()


@bp.post("/jobs/failed/groups/<key>/run-again")
@requires(Right.MANAGE_JOBS)
def run_group_again(key: str) -> Response:
    """Run every failed task of a group again, each with the same arguments once; stops when the queue is away."""
    failed = [each for each in open_of_group(key, limit=MOST_AT_ONCE) if _can_run(each)]
    ids = [each.id for each in failed]
    if not settle_group(key, how=RUN_AGAIN, only=ids):
        flash(_("Nothing was left to run again."), "info")
        return _back()
    tasks = distinct_arguments(failed)
    for each in tasks:
        if is_clock_job(each.name):
            start_job(each.name)
    if all(_start(each) for each in tasks):
        flash(ngettext("%(num)s task was started again.", "%(num)s tasks were started again.", len(tasks)), "ok")
    else:
        reopen_failures(ids)
        flash(_("The queue did not take them all. What was not started stays here; try again later."), "bad")
    return _back()


@bp.post("/jobs/failed/groups/<key>/set-aside")
@requires(Right.MANAGE_JOBS)
def set_group_aside(key: str) -> Response:
    """Take every failed task of a group off the page."""
    count = settle_group(key, how=SET_ASIDE)
    if count:
        flash(ngettext("%(num)s failed task was set aside.", "%(num)s failed tasks were set aside.", count), "ok")
    else:
        flash(_("Somebody has already dealt with this task."), "info")
    return _back()


def _start(failed: FailedTask) -> bool:
    if not is_first("again", failed.name, str(failed.arguments), within_seconds=5):
        return True  # the same task was started a moment ago
    keywords = failed.arguments.get("kwargs") or {}
    options = {"kwargs": keywords} if keywords else {}
    return enqueue(current_app.extensions["celery"].tasks[failed.name], *failed.arguments.get("args", []), **options)


def _can_run(failed: FailedTask) -> bool:
    return is_repeatable(failed) and failed.name in current_app.extensions["celery"].tasks


def _failure(failed_id: int) -> FailedTask:
    failed = find_failure(failed_id)
    if failed is None:
        raise NotFound(_("There is no such failed task."))
    return failed


def _back() -> Response:
    return redirect(url_for("ops.jobs", _anchor="failed"), code=303)
