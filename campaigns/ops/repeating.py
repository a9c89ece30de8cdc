"""What running a failed task again would do, task by task: the words beside the button.

Every task of Carillon may run twice. What keeps that true is not here but in the tables: a batch is sent under a lease,
a row of the ledger leaves `waiting` once, a mail of the outbox is claimed, an import goes on where it was.
"""

from __future__ import annotations

from flask_babel import gettext as _

from campaigns.ops.failure_kinds import NOT_REPEATABLE
from campaigns.ops.models import FailedTask
from campaigns.ops.scheduled import is_periodic


def is_repeatable(failed: FailedTask) -> bool:
    """Tell whether a failed task can be run again from its row."""
    return failed.kind not in NOT_REPEATABLE and not failed.arguments.get("masked")


def what_a_repeat_does(failed: FailedTask) -> str:
    """Return whether running a failed task again is safe, and why, in a sentence or two."""
    if failed.kind in NOT_REPEATABLE:
        return str(_("There is nothing to run again. Set it aside when you have seen to the reason."))
    if failed.arguments.get("masked"):
        return str(_("Its arguments were not kept, because they held more than ids. It cannot be run again from here."))
    return _words_of(failed.name)


def _words_of(name: str) -> str:
    words = {
        "mail.send_mail": _("Safe: a mail that was sent is not sent again, and one that expired is not sent at all."),
        "delivery.send_batch": _(
            "Safe: only people of the batch who still wait get the mail. Whoever was sent to is left alone."
        ),
        "delivery.record_totals": _("Safe: it counts the ledger again, and closes the campaign once."),
        "delivery.end_hold": _("Safe: a launch that was taken back, or has begun, is left as it is."),
        "delivery.freeze_campaign": _("Safe: recipients are written down once; a second time changes nothing."),
        "delivery.publish_round": _("Safe: only batches that nobody sends, with people who still wait, are started."),
        "delivery.cancel_rest": _("Safe: it marks only people who still wait."),
        "delivery.return_rows": _("Safe: it queues each of those people again once."),
        "audience.check_import": _("Safe: an import that was checked already is left as it is."),
        "audience.save_import": _("Safe: it goes on after the last row that was saved."),
        "audience.report_import": _("Safe: an import is closed once."),
    }
    if name in words:
        return str(words[name])
    if is_periodic(name):
        return str(_("Safe, and not needed: the timer runs it again by itself."))
    return str(_("Safe: every task of Carillon may run twice without doing anything twice."))
