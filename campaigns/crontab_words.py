"""When something happens, in words: the rule of a job or of a campaign that is repeated."""

from __future__ import annotations

from babel.dates import get_day_names, get_month_names
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _

from campaigns.crontab import CrontabError

WEEKDAYS = "1-5"


def describe_interval(seconds: float) -> str:
    """Return how often something happens that happens every so many seconds."""
    whole = round(seconds)
    if whole % 60:
        return str(ngettext("every second", "every %(num)s seconds", whole))
    return str(ngettext("every minute", "every %(num)s minutes", whole // 60))


def describe_rule(rule: str) -> str:
    """Return a rule as a person would say it; a rule that nobody would say is shown as it is."""
    minute, hour, day, month, weekday = rule.split()
    if minute.isdigit() and (hour, day, month, weekday) == ("*", "*", "*", "*"):
        return str(_("every hour, at minute %(minute)s", minute=minute)) if int(minute) else str(_("every hour"))
    if not (minute.isdigit() and hour.isdigit()):
        return rule
    return _describe_days(day, month, weekday, f"{int(hour):02}:{int(minute):02}") or rule


def describe_crontab_error(error: CrontabError) -> str:
    """Return what is wrong with a rule, and how it should be."""
    words = {
        "number": _("A rule has five fields: minute, hour, day of the month, month, day of the week."),
        "minute": _("The first field, the minute, cannot be read. It goes from 0 to 59."),
        "hour": _("The second field, the hour, cannot be read. It goes from 0 to 23."),
        "day-of-month": _(
            "The third field, the day of the month, cannot be read. It goes from 1 to 31; L is the last."
        ),
        "month": _("The fourth field, the month, cannot be read. It goes from 1 to 12."),
        "day-of-week": _("The fifth field, the day of the week, cannot be read. It goes from 0 (Sunday) to 6."),
        "never": _("There is no such day in the calendar."),
        "too often": _("An announcement goes out once a day at most: give one minute and one hour, as in 30 9 * * 1."),
    }
    return str(words[error.part])


def _describe_days(day: str, month: str, weekday: str, time: str) -> str:
    if (day, month, weekday) == ("*", "*", "*"):
        return str(_("daily at %(time)s", time=time))
    if (day, month) == ("*", "*"):
        if weekday == WEEKDAYS:
            return str(_("Monday to Friday at %(time)s", time=time))
        names = _day_names(weekday)
        return str(_("every %(days)s at %(time)s", days=names, time=time)) if names else ""
    if (month, weekday) == ("*", "*"):
        if day == "L":
            return str(_("on the last day of every month at %(time)s", time=time))
        return str(_("on day %(day)s of every month at %(time)s", day=day, time=time)) if day.isdigit() else ""
    if weekday == "*" and day.isdigit() and month.isdigit():
        name = get_month_names(locale=get_locale())[int(month)]
        return str(_("every year on day %(day)s of %(month)s at %(time)s", day=day, month=name, time=time))
    return ""


def _day_names(weekday: str) -> str:
    """Return the names of days given as numbers, 0 being Sunday; nothing for what is no plain list."""
    numbers = weekday.split(",")
    if not all(each.isdigit() and int(each) <= 7 for each in numbers):
        return ""
    names = get_day_names("wide", locale=get_locale())
    return ", ".join(names[(int(each) - 1) % 7] for each in numbers)
