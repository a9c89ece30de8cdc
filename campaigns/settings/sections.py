"""The sections of the settings pages: which values each holds, and where they live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask_babel import lazy_gettext as _l

MAIL: Final = "mail"


@dataclass(frozen=True)
class Section:
    """One page of settings. Its `fields` are columns of the site's row, or fields of config.Settings."""

    key: str
    title: Any
    about: Any
    icon: str
    fields: tuple[str, ...]
    is_of_site: bool = False


SECTIONS: Final = {
    section.key: section
    for section in (
        Section(
            "general", _l("General"), _l("The name, language and time zone of the site."), "settings",
            ("name", "language", "timezone", "postal_address"), is_of_site=True,
        ),
        Section(
            "senders", _l("Senders"), _l("Who mail is from, and the records its domain needs."), "at-sign",
            ("sender_name", "sender_address", "reply_to"), is_of_site=True,
        ),
        Section(
            MAIL, _l("Mail servers"), _l("The servers that deliver your mail, and a test that shows everything they "
                                         "say."), "server",
            ("mail_servers",),
        ),
        Section(
            "rates", _l("Rates"), _l("How fast mail goes out, and when a campaign gives up or stops."), "gauge",
            ("rate_per_second", "rate_per_day", "rate_per_domain", "batch_size", "give_up_hours",
             "brake_failed_percent", "brake_after"),
        ),
        Section(
            "safety", _l("Sending safety"), _l("Safeguards between a click and a mail to everybody."), "shield",
            ("hold_seconds", "confirm_from", "approve_from"),
        ),
        Section(
            "tracking", _l("Tracking"), _l("Whether new campaigns count openings and clicks."), "eye",
            ("track_opens", "track_clicks"),
        ),
        Section(
            "logins", _l("Log-in"), _l("Which roles need a second step to log in."), "lock",
            ("two_step_required_from",),
        ),
        Section(
            "retention", _l("Retention"), _l("When old records are deleted."), "hourglass",
            ("keep_failures_days", "keep_mails_days", "keep_imports_days", "keep_tracking_days", "keep_attempts_days",
             "keep_audit_days"),
        ),
        Section(
            "public", _l("Public pages"), _l("What people who are not logged in see."), "globe",
            ("signups_open",), is_of_site=True,
        ),
    )
}  # fmt: skip
