"""Lanes and tasks in words."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext as _
from flask_babel import ngettext

from campaigns.celery import BULK, NOW, WORK
from campaigns.presentation import format_number


def lane_words(lane: str) -> str:
    """Return what a lane is for, in words."""
    words = {
        NOW: _("Single mails"),
        BULK: _("Announcements"),
        WORK: _("Preparing, imports, upkeep"),
    }
    return str(words.get(lane, lane))


def task_words(name: str) -> str:
    """Return what a task does, in words; its own name for one that has none here."""
    words = {
        "mail.send_mail": _("Send a single mail"),
        "mail.sweep_outbox": _("Look for single mails left behind"),
        "accounts.record_refusals": _("Record refused log-ins"),
        "delivery.send_batch": _("Send a batch"),
        "delivery.record_totals": _("Record the totals"),
        "delivery.end_hold": _("End the hold of a launch"),
        "delivery.freeze_campaign": _("Prepare the recipients"),
        "delivery.publish_round": _("Start a round of batches"),
        "delivery.launch_due": _("Launch scheduled campaigns"),
        "delivery.repeat_due": _("Start campaigns that are repeated"),
        "delivery.reconcile": _("Look for work left behind"),
        "delivery.cancel_rest": _("Mark the rest of a cancelled campaign"),
        "delivery.return_rows": _("Queue people of an ended campaign again"),
        "audience.check_import": _("Check an import"),
        "audience.save_import": _("Save an import"),
        "audience.report_import": _("Finish an import"),
        "audience.resume_imports": _("Look for imports left behind"),
        "audience.count_users": _("Count users for the chart"),
        "reports.send_digests": _("Send admins their daily digest"),
        "ops.start_due_jobs": _("Start jobs that are due"),
        "ops.check_ledgers": _("Recount the ledgers, and prepare the database’s plans"),
        "settings.run_check": _("Send a test mail, or look at the sending domain"),
        "settings.resume_checks": _("Look for tests left behind"),
        "audit.seal": _("Seal the activity log"),
        "audit.check": _("Check the activity log"),
        "ops.beat_tick": _("Record the timer's tick"),
        "ops.clean_up": _("Clean up"),
        "worker": _("A worker process"),
        "beat": _("The timer (beat)"),
        "?": _("A message without a task"),
    }
    return str(words.get(name, name))


def count_words(counts: Mapping[str, int]) -> str:
    """Return in words what a run of a periodic job did; nothing for a job that says nothing."""
    words = {
        "deleted": lambda n: ngettext("%(number)s row deleted", "%(number)s rows deleted", n, number=format_number(n)),
        "users": lambda n: ngettext("%(number)s user counted", "%(number)s users counted", n, number=format_number(n)),
        "campaigns": lambda n: ngettext(
            "%(number)s campaign recounted", "%(number)s campaigns recounted", n, number=format_number(n)
        ),
        "differences": lambda n: (
            ngettext("%(number)s does not add up", "%(number)s do not add up", n, number=format_number(n))
            if n
            else _("all add up")
        ),
    }
    return ", ".join(str(words[name](number)) for name, number in counts.items() if name in words)
