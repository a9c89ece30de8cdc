"""What people enter to launch a campaign, or to cancel the rest of one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import StopValidation
from wtforms.widgets import DateInput, TimeInput

from campaigns.clock import utcnow
from campaigns.delivery.counted_forms import ConfirmedForm
from campaigns.delivery.local_times import moments_of, next_existing, offset_text, zone_label
from campaigns.languages import zone as zone_named

LEAST_NOTICE: Final = timedelta(minutes=5)
MOST_NOTICE: Final = timedelta(days=366)
TYPED_CANCEL_FROM: Final = 1_000
COMMON_ZONES: Final = (
    "Asia/Seoul",
    "Asia/Tokyo",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "UTC",
)


class LaunchForm(ConfirmedForm):
    """Now or later, and the number of people as a confirmation.

    `launch_key` makes a double click launch once. After a successful `validate`, `planned_at` is the chosen moment
    (UTC), or None for now.
    """

    when = RadioField(
        _l("When should it go out?"),
        choices=[SelectChoice("now", _l("Now")), SelectChoice("later", _l("At a date and time"))],
        default="now",
    )
    day = StringField(_l("Date"), widget=DateInput())
    clock = StringField(_l("Time"), widget=TimeInput())
    zone = SelectField(_l("Time zone"))
    which = RadioField(_l("Which of the two?"), validate_choice=False)
    confirm = StringField(_l("Number of people"))  # here too, for errors come in the order of the page
    launch_key = HiddenField()

    planned_at: datetime | None = None

    def __init__(self, *arguments: Any, zones: Sequence[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._zones = zones
        self.zone.choices = [SelectChoice(name, zone_label(name)) for name in zones]
        self.zone.data = self.zone.data or zones[0]
        self.which.choices = []

    def validate_when(self, field: RadioField) -> None:
        """Work out the planned moment; what is wrong with it is said at the field that it is about."""
        self.planned_at = None
        if field.data == "later":
            self.planned_at = self._read_moment()

    def _read_moment(self) -> datetime | None:
        if not self.day.data:
            self._fault(self.day, _("Enter a date."))
        if not self.clock.data:
            self._fault(self.clock, _("Enter a time."))
        local = _read_local(self.day.data or "", self.clock.data or "")
        if self.day.data and self.clock.data and local is None:
            self._fault(self.day, _("Enter the date as 2026-12-31 and the time as 09:30."))
        if local is None or self.zone.data not in self._zones:
            return None
        return self._choose(local, zone_named(self.zone.data))

    def _choose(self, local: datetime, zone: Any) -> datetime | None:
        moments = moments_of(local, zone)
        if not moments:
            instead = next_existing(local, zone).strftime("%H:%M")
            self._fault(
                self.clock,
                _(
                    "There is no %(time)s on that day: the clocks go forward over it. Choose %(instead)s, for example.",
                    time=f"{local:%H:%M}",
                    instead=instead,
                ),
            )
            return None
        if len(moments) == 2:
            self.which.choices = [
                SelectChoice("0", _("The first one (%(offset)s)", offset=offset_text(moments[0], zone))),
                SelectChoice("1", _("The second one (%(offset)s)", offset=offset_text(moments[1], zone))),
            ]
            if self.which.data not in ("0", "1"):
                self._fault(
                    self.which,
                    _("On that day the clocks go back and show %(time)s twice. Choose one.", time=f"{local:%H:%M}"),
                )
                return None
        return self._check_distance(moments[int(self.which.data) if len(moments) == 2 else 0])

    def _check_distance(self, moment: datetime) -> datetime | None:
        now = utcnow()
        if moment <= now:
            self._fault(self.clock, _("That time has passed. Choose one at least 5 minutes from now."))
        elif moment - now < LEAST_NOTICE:
            self._fault(self.clock, _("That is too soon. Choose a time at least 5 minutes from now, or send now."))
        elif moment - now > MOST_NOTICE:
            self._fault(self.day, _("That is more than a year away. Choose an earlier date."))
        else:
            return moment
        return None

    def _fault(self, field: Any, message: str) -> None:
        """Add an error to another field than the one being checked; it stays through the checks that follow."""
        self._faults.append((field, message))

    def validate(self, extra_validators: Any = None) -> bool:
        """Check all fields together; also works for a part of the form, to say what a date means."""
        self._faults: list[tuple[Any, str]] = []
        is_valid = super().validate(extra_validators)
        for field, message in self._faults:
            field.errors = [*field.errors, message]
        return bool(is_valid and not self._faults)


class CancelForm(FlaskForm):  # type: ignore[misc]
    """The word that has to be typed before many people are left without the mail."""

    word = StringField(_l("Type the word"))

    def __init__(self, *arguments: Any, left: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.must_type = left > TYPED_CANCEL_FROM

    def validate_word(self, field: StringField) -> None:
        """Take the word of any language, in capitals or not."""
        typed = unicodedata.normalize("NFKC", field.data or "").strip().lower()
        if self.must_type and typed not in {"cancel", "취소", str(cancel_word()).lower()}:
            raise StopValidation(_("To cancel the rest, type %(word)s.", word=cancel_word()))


def cancel_word() -> str:
    """Return the word to type, in the person's language."""
    return str(_("cancel"))


def zone_choices(own: str, site: str) -> tuple[str, ...]:
    """Return the zones to offer: the person's own, the site's, and some that many people live in."""
    return tuple(dict.fromkeys((own, site, *COMMON_ZONES)))


def _read_local(day: str, clock: str) -> datetime | None:
    try:
        return datetime.strptime(f"{day} {clock[:5]}", "%Y-%m-%d %H:%M")  # noqa: DTZ007 - a wall clock's time
    except ValueError:
        return None
