"""What is typed on the settings pages; after a successful `validate`, each field's data is the value to store."""

from __future__ import annotations

from typing import Any, Final

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import DataRequired, InputRequired, Length
from wtforms.widgets import HiddenInput, TextArea

from campaigns.accounts.field_checks import check_printable, one_line
from campaigns.languages import LANGUAGES
from campaigns.setting_groups import MOST_DAYS, MOST_PEOPLE, MOST_RATE, TWO_STEP_FROM
from campaigns.settings.form_fields import (
    NumberField,
    RatesField,
    check_address,
    check_domain_rates,
    rate,
    whole,
)
from campaigns.settings.wording import TWO_STEP_WORDS
from campaigns.time_zones import zone_choices

_NEEDED = InputRequired(_l("Enter a number."))


def _number(label: Any, *, least: int, most: int, about: Any = "") -> StringField:
    return StringField(label, [_NEEDED, whole(least=least, most=most)], description=about)


def _days(label: Any, *, about: Any) -> StringField:
    return _number(label, least=1, most=MOST_DAYS, about=about)


class SectionForm(FlaskForm):  # type: ignore[misc]
    """The form of one section. `version` is what the person has seen; fields that are fixed elsewhere are left out."""

    version = IntegerField(widget=HiddenInput())

    def values(self) -> dict[str, Any]:
        """Return what is to be stored, by field."""
        return {each.name: each.data for each in self if each.name not in {"version", "csrf_token"}}


class GeneralForm(SectionForm):
    """What the site is called."""

    name = StringField(
        _l("Name of the site"),
        [
            DataRequired(_l("Enter the name of the site.")),
            Length(max=100, message=_l("Use at most 100 characters.")),
            check_printable,
        ],
        [one_line],
        description=_l("Shown at the top of every mail and page."),
    )
    language = SelectField(
        _l("Language of the site"),
        choices=[SelectChoice(code, word) for code, word in LANGUAGES.items()],
        description=_l("For new campaigns, and for people who have not chosen one."),
    )
    timezone = SelectField(_l("Time zone of the site"))
    postal_address = StringField(
        _l("Postal address"),
        [Length(max=300, message=_l("Use at most 300 characters.")), check_printable],
        [one_line],
        description=_l("Shown in the footer of every mail; many laws require it."),
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.timezone.choices = list(zone_choices())


class SenderForm(SectionForm):
    """Who mail is from."""

    sender_name = StringField(
        _l("Sender name"),
        [Length(max=100, message=_l("Use at most 100 characters.")), check_printable],
        [one_line],
        description=_l("Leave empty to use the name of the site."),
    )
    sender_address = StringField(
        _l("Sender address"),
        [DataRequired(_l("Enter the address that announcements come from.")), check_address],
        [one_line],
        description=_l("All mail comes from this address. Campaigns that were launched keep the one they had."),
    )
    reply_to = StringField(
        _l("Reply-to address"),
        [check_address],
        [one_line],
        description=_l("Where answers go, if not to the sender address. New campaigns begin with it."),
    )


class RatesForm(SectionForm):
    """How fast mail goes out."""

    rate_per_second = NumberField(
        _l("Mails per second, at most"),
        [_NEEDED, rate(most=MOST_RATE)],
        description=_l("For all campaigns and workers together. 0 means no limit."),
    )
    rate_per_day = _number(_l("Mails per 24 hours, at most"), least=0, most=MOST_PEOPLE, about=_l("0 means no limit."))
    rate_per_domain = RatesField(
        _l("Mails per second to single domains, at most"),
        [check_domain_rates],
        widget=TextArea(),
        description=_l("One per line, such as: gmail.com 20. Mail to other domains does not wait."),
    )
    batch_size = _number(
        _l("People per batch, at most"),
        least=1,
        most=10_000,
        about=_l("For campaigns that start from now on. Below 20 times as many people, batches are smaller."),
    )
    give_up_hours = _number(
        _l("Hours until we give up"),
        least=0,
        most=240,
        about=_l("How long a temporarily refused mail is tried again."),
    )
    brake_failed_percent = _number(
        _l("Share of permanent refusals that pauses a campaign, percent"),
        least=0,
        most=100,
        about=_l("A person then decides how to go on. 0 means never."),
    )
    brake_after = _number(_l("Number of mails before that share counts"), least=1, most=1_000_000)


class SafetyForm(SectionForm):
    """What stands between a click and a mail to everybody."""

    hold_seconds = _number(
        _l("Seconds in which a launch can be taken back"),
        least=0,
        most=600,
        about=_l("Nothing is sent before they have passed. 0 to 600."),
    )
    confirm_from = _number(
        _l("Number of people from which the number has to be typed"),
        least=1,
        most=MOST_PEOPLE,
        about=_l("For launches to that many people or more. 1 means always."),
    )
    approve_from = _number(
        _l("Number of people from which a second person has to approve"),
        least=0,
        most=MOST_PEOPLE,
        about=_l("Somebody else who may launch, never the person who asks for it. 0 means never."),
    )


class TrackingForm(SectionForm):
    """What a new campaign counts, unless whoever writes it chooses otherwise."""

    track_opens = BooleanField(
        _l("Count openings"),
        description=_l("Uses an invisible picture. An estimate, and several countries require consent first."),
    )
    track_clicks = BooleanField(
        _l("Count clicks"),
        description=_l("Links go through this site, which records who follows which, but no IP addresses or devices."),
    )


class LoginsForm(SectionForm):
    """Who has to log in with a second step."""

    two_step_required_from = SelectField(
        _l("Two-step log-in is required for"),
        choices=[SelectChoice(word, TWO_STEP_WORDS[word]) for word in TWO_STEP_FROM],
        description=_l("An app code after the password. Everybody else may use it too."),
    )


class RetentionForm(SectionForm):
    """What is deleted when."""

    keep_failures_days = _days(
        _l("Failed tasks, days"), about=_l("Those that somebody has dealt with; the others stay for 90 days at least.")
    )
    keep_mails_days = _days(
        _l("Single mails, days"), about=_l("Who was sent a verification, reset or test mail, never its content.")
    )
    keep_imports_days = _days(
        _l("Imports, days"), about=_l("With the rows that were refused, which hold addresses. The people stay.")
    )
    keep_tracking_days = _days(
        _l("Openings and clicks, days"),
        about=_l("Who opened and clicked, from the end of a campaign on. The numbers of the report stay."),
    )
    keep_attempts_days = _days(
        _l("Failed delivery attempts, days"),
        about=_l("With the mail server's response, for each person. The last answer stays with the campaign."),
    )
    keep_audit_days = _days(_l("Activity log, days"), about=_l("Who did what and when. Some laws require years."))


class PublicForm(SectionForm):
    """What people see who are not logged in."""

    signups_open = BooleanField(
        _l("Anyone may sign up"),
        description=_l("Without it the sign-up page says that it is closed. People who are here stay, and can log in."),
    )


FORMS: Final[dict[str, type[SectionForm]]] = {
    "general": GeneralForm,
    "senders": SenderForm,
    "rates": RatesForm,
    "safety": SafetyForm,
    "tracking": TrackingForm,
    "logins": LoginsForm,
    "retention": RetentionForm,
    "public": PublicForm,
}
