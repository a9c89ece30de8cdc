"""Deeds in words: each action has its sentence here, and a test looks for those that have none."""

from __future__ import annotations

from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from campaigns.audit.checking import Problem
from campaigns.audit.models import COMMAND_LINE, AuditEntry

ACTIONS: Final[dict[str, Any]] = {
    "campaign.created": _l("Created a campaign"),
    "campaign.edited": _l("Changed a campaign"),
    "campaign.text_edited": _l("Changed the text of a campaign"),
    "campaign.deleted": _l("Deleted a draft"),
    "campaign.archived": _l("Archived a campaign"),
    "campaign.unarchived": _l("Restored a campaign to the list"),
    "campaign.test_sent": _l("Sent a test"),
    "campaign.launched": _l("Launched a campaign"),
    "campaign.launched_late": _l("Launched a campaign that had missed its time"),
    "campaign.approval_asked": _l("Asked for approval of a launch"),
    "campaign.approval_withdrawn": _l("Withdrew a launch that waited for approval"),
    "campaign.approved": _l("Approved a launch"),
    "campaign.declined": _l("Declined a launch"),
    "campaign.taken_back": _l("Took back a launch"),
    "campaign.scheduled": _l("Scheduled a campaign"),
    "campaign.unscheduled": _l("Cancelled a schedule"),
    "campaign.paused": _l("Paused a campaign"),
    "campaign.resumed": _l("Continued a campaign"),
    "campaign.cancelled": _l("Cancelled the rest of a campaign"),
    "campaign.repeated": _l("Set up or changed a repetition"),
    "campaign.repetition_paused": _l("Paused a repetition"),
    "campaign.repetition_resumed": _l("Continued a repetition"),
    "campaign.repetition_skipped": _l("Skipped a date of a repetition"),
    "campaign.repetition_ended": _l("Ended a repetition"),
    "user.digest_chosen": _l("Chose whether to get the daily digest"),
    "campaign.uncertain_left": _l("Left uncertain mails as they are"),
    "campaign.person_sent_again": _l("Sent an uncertain mail again"),
    "campaign.sent_again": _l("Sent all uncertain mails again"),
    "campaign.retried": _l("Tried refused mails again"),
    "campaign.sent_to_rest": _l("Sent a cancelled campaign to the rest"),
    "user.created": _l("Added a user"),
    "user.edited": _l("Changed a user"),
    "user.deleted": _l("Deleted a user"),
    "user.unsubscribed": _l("Unsubscribed a user"),
    "user.resubscribed": _l("Reversed a user’s unsubscription"),
    "user.suppressed": _l("Added an address to the suppression list"),
    "user.unsuppressed": _l("Removed an address from the suppression list"),
    "user.role_changed": _l("Changed somebody’s role"),
    "user.seen": _l("Viewed a user"),
    "user.listed": _l("Viewed the list of users"),
    "user.mails_seen": _l("Viewed the mails of a user"),
    "user.offered": _l("Viewed the people a preview can show"),
    "user.mail_previewed": _l("Viewed a mail as a user gets it"),
    "import.seen": _l("Viewed the problem rows of an import"),
    "import.started": _l("Started an import"),
    "import.finished": _l("Finished an import"),
    "import.failed": _l("Gave up an import"),
    "import.exported": _l("Downloaded the rows with problems of an import"),
    "report.people_seen": _l("Viewed the recipients of a campaign"),
    "report.person_seen": _l("Viewed one person’s mail"),
    "report.uncertain_seen": _l("Viewed the uncertain mails of a campaign"),
    "report.people_exported": _l("Downloaded the recipients of a campaign"),
    "report.failures_exported": _l("Downloaded the refusals of a campaign"),
    "report.links_exported": _l("Downloaded the links of a campaign"),
    "report.domains_exported": _l("Downloaded the domains of a campaign"),
    "user.password_changed": _l("Changed their password"),
    "user.address_changed": _l("Changed their e-mail address"),
    "user.password_reset": _l("Set a new password by a mailed link"),
    "user.profile_changed": _l("Changed their profile"),
    "user.logins_ended": _l("Ended log-ins of a person"),
    "user.deactivated": _l("Deactivated a person"),
    "user.reactivated": _l("Reactivated a person"),
    "user.two_step_turned_on": _l("Turned on two-step log-in"),
    "user.two_step_turned_off": _l("Turned off two-step log-in"),
    "user.two_step_removed": _l("Turned off two-step log-in for a person"),
    "user.recovery_codes_made": _l("Made new recovery codes"),
    "user.recovery_code_used": _l("Logged in with a recovery code"),
    "login.began": _l("Logged in"),
    "login.refused": _l("A log-in failed"),
    "login.ended": _l("Ended a log-in"),
    "invitation.sent": _l("Invited somebody to the team"),
    "invitation.sent_again": _l("Sent an invitation again"),
    "invitation.cancelled": _l("Cancelled an invitation"),
    "invitation.accepted": _l("Accepted an invitation"),
    "settings.changed": _l("Changed a setting"),
    "site.set_up": _l("Set up the site"),
    "site.restored": _l("Restored the database from a backup"),
    "site.database_confirmed": _l("Confirmed that this database is the site’s own"),
    "job.started": _l("Started a periodic job now"),
    "job.run_again": _l("Started a failed task again"),
    "job.not_started": _l("A failed task could not be started: the queue was unavailable"),
    "job.set_aside": _l("Set a failed task aside"),
    "audit.exported": _l("Downloaded the activity log"),
    "audit.removed": _l("Removed entries past their retention"),
}

KINDS: Final[dict[str, Any]] = {
    "campaign": _l("Campaign"),
    "delivery": _l("Mail of a campaign"),
    "user": _l("User"),
    "import": _l("Import"),
    "job": _l("Task"),
    "invitation": _l("Invitation"),
    "site": _l("Site"),
    "setting": _l("Setting"),
    "audit": _l("Activity log"),
}

# What the groups of actions are called where one is chosen, by what stands before the dot.
GROUPS: Final[dict[str, Any]] = {
    "campaign": _l("Campaigns"),
    "user": _l("Users"),
    "import": _l("Imports"),
    "report": _l("Reports"),
    "login": _l("Log-ins"),
    "invitation": _l("Team"),
    "settings": _l("Settings"),
    "site": _l("Site"),
    "job": _l("Jobs"),
    "audit": _l("Activity log"),
}


def action_words(action: str) -> str:
    """Return what was done, in words; the action's own name for one that an older version had."""
    return str(ACTIONS.get(action, action))


def kind_words(kind: str) -> str:
    """Return what kind of object it was, in words."""
    return str(KINDS.get(kind, kind))


def group_words(group: str) -> str:
    """Return what a group of actions is called."""
    return str(GROUPS.get(group, group))


def actor_words(entry: AuditEntry) -> str:
    """Return who acted: the address, the command line, or Carillon itself."""
    if entry.actor == COMMAND_LINE:
        return str(_("Command line"))
    if not entry.actor:
        return str(_("Somebody not logged in"))
    return entry.actor if entry.actor_id is not None else str(_("Carillon itself"))


def reason_words(reason: str) -> str:
    """Return why, in words where the program gave the reason; as written where a person did."""
    words = {
        "password": _("the password was wrong"),
        "code": _("the code was wrong"),
        "by themselves": _("by themselves"),
    }
    return str(words.get(reason, reason))


def problem_words(problem: str, sequence: int | None) -> str:
    """Return what is wrong with the log, in words."""
    number = sequence or 0
    words = {
        Problem.CHANGED: _("entry %(number)s does not have the hash it was sealed with.", number=number),
        Problem.MISSING: _("entry %(number)s is missing.", number=number),
        Problem.INSERTED: _("entry %(number)s stands beyond the end of the chain.", number=number),
        Problem.UNSEALED: _("entries from number %(number)s on were not sealed for more than a minute.", number=number),
        Problem.HEAD: _("the row that holds the end of the chain was changed or removed."),
        Problem.ANCHOR: _("the entries up to %(number)s were removed, and not by retention.", number=number),
        Problem.EXPECTED: _("entry %(number)s is not the one that was written down.", number=number),
        Problem.FORGOTTEN: _("entry %(number)s is past its retention; compare with a newer one.", number=number),
    }
    return str(words.get(Problem(problem), problem))
