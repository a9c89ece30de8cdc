"""What people enter to have a campaign repeated: how often, at what time, until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from babel.dates import get_day_names
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import RadioField, SelectField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import StopValidation
from wtforms.widgets import CheckboxInput, DateInput, ListWidget, TimeInput

from campaigns.crontab import CrontabError, check_daily_at_most
from campaigns.crontab_words import WEEKDAYS, describe_crontab_error
from campaigns.delivery.counted_forms import read_number
from campaigns.delivery.local_times import zone_label
from campaigns.delivery.models import Recurrence
from campaigns.delivery.repeat_services import Repetition
from campaigns.delivery.repeating import Limits

LAST_SAFE_DAY: Final = 28  # every month has it
LAST_OF_MONTH: Final = "L"
MOST_TIMES: Final = 1_000


class RepeatForm(FlaskForm):  # type: ignore[misc]
    """How often a copy goes out. After a successful `validate`, `repetition` is what was chosen."""

    often = RadioField(
        _l("How often?"),
        choices=[
            SelectChoice("daily", _l("Every day")),
            SelectChoice("weekdays", _l("Monday to Friday")),
            SelectChoice("weekly", _l("On days of the week")),
            SelectChoice("monthly", _l("On a day of the month")),
            SelectChoice("own", _l("By a custom rule")),
        ],
        default="weekly",
    )
    days = SelectMultipleField(
        _l("Days"), widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(), default=["1"]
    )
    day_of_month = SelectField(_l("Day of the month"))
    expression = StringField(_l("Rule (crontab)"))
    clock = StringField(_l("Time"), widget=TimeInput(), default="10:00")
    zone = SelectField(_l("Time zone"))
    ends = RadioField(
        _l("Until when?"),
        choices=[
            SelectChoice("never", _l("Until somebody ends it")),
            SelectChoice("until", _l("Until a date")),
            SelectChoice("times", _l("A number of times")),
        ],
        default="never",
    )
    until = StringField(_l("Last date"), widget=DateInput())
    times = StringField(_l("Number of times"))

    def __init__(self, *arguments: Any, zones: Sequence[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        names = get_day_names("wide", locale=get_locale())
        # Monday first, as calendars show it; Sunday is 0 in a rule.
        self.days.choices = [SelectChoice(str((n + 1) % 7), names[n]) for n in range(7)]
        self.day_of_month.choices = [
            *(SelectChoice(str(n), str(n)) for n in range(1, LAST_SAFE_DAY + 1)),
            SelectChoice(LAST_OF_MONTH, _("the last day")),
        ]
        self.zone.choices = [SelectChoice(name, zone_label(name)) for name in zones]
        self.zone.data = self.zone.data or zones[0]

    @property
    def repetition(self) -> Repetition:
        """What was chosen, as it was checked."""
        return Repetition(rule=self._rule(), zone=self.zone.data, limits=self._limits())

    def show_stored(self, recurrence: Recurrence) -> None:
        """Fill the form in with a repetition as it is."""
        minute, hour, day, month, weekday = recurrence.rule.split()
        self.zone.data, self.clock.data = recurrence.zone, f"{int(hour):02}:{int(minute):02}"
        self.often.data = _kind_of(day, month, weekday)
        self.expression.data = recurrence.rule
        if self.often.data == "weekly":
            self.days.data = weekday.split(",")
        if self.often.data == "monthly":
            self.day_of_month.data = day
        self.ends.data = "until" if recurrence.until else "times" if recurrence.times_left is not None else "never"
        self.until.data = recurrence.until.isoformat() if recurrence.until else ""
        self.times.data = str(recurrence.times_left or "")

    def validate_days(self, field: SelectMultipleField) -> None:
        """A week without a day would never come."""
        if self.often.data == "weekly" and not field.data:
            raise StopValidation(_("Choose at least one day."))

    def validate_clock(self, field: StringField) -> None:
        """The time of day, unless a rule of one's own has it."""
        if self.often.data != "own" and _read_clock(field.data) is None:
            raise StopValidation(_("Enter a time."))

    def validate_expression(self, field: StringField) -> None:
        """A rule that can be read, and that comes once a day at most."""
        if self.often.data != "own":
            return
        try:
            check_daily_at_most(field.data or "")
        except CrontabError as error:
            raise StopValidation(describe_crontab_error(error)) from error

    def validate_until(self, field: StringField) -> None:
        """A date, if there is to be one."""
        if self.ends.data == "until" and _read_date(field.data) is None:
            raise StopValidation(_("Enter a date."))

    def validate_times(self, field: StringField) -> None:
        """A number, if there is to be one."""
        if self.ends.data == "times" and not 1 <= (read_number(field.data) or 0) <= MOST_TIMES:
            raise StopValidation(_("Enter a number from 1 to %(most)s.", most=MOST_TIMES))

    def _rule(self) -> str:
        if self.often.data == "own":
            return check_daily_at_most(self.expression.data or "")
        time = _read_clock(self.clock.data)
        assert time is not None
        days = {
            "daily": "* * *",
            "weekdays": f"* * {WEEKDAYS}",
            "weekly": f"* * {','.join(sorted(self.days.data or []))}",
            "monthly": f"{self.day_of_month.data} * *",
        }
        return f"{time.minute} {time.hour} {days[self.often.data]}"

    def _limits(self) -> Limits:
        if self.ends.data == "until":
            return Limits(until=_read_date(self.until.data))
        return Limits(times_left=read_number(self.times.data) if self.ends.data == "times" else None)


def _kind_of(day: str, month: str, weekday: str) -> str:
    """Return which choice of the form a rule is."""
    if month != "*":
        return "own"
    if day == "*":
        is_list = all(each in tuple("0123456") for each in weekday.split(","))
        return {"*": "daily", WEEKDAYS: "weekdays"}.get(weekday, "weekly" if is_list else "own")
    is_safe = day == LAST_OF_MONTH or (day.isdigit() and int(day) <= LAST_SAFE_DAY)
    return "monthly" if weekday == "*" and is_safe else "own"


def _read_clock(text: str | None) -> datetime | None:
    try:
        return datetime.strptime((text or "")[:5], "%H:%M")  # noqa: DTZ007 - a wall clock's time
    except ValueError:
        return None


def _read_date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
