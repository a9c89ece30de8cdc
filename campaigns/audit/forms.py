"""The filters of the activity log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import Any

from flask import request
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import DateField, SelectField, StringField
from wtforms.validators import Optional

from campaigns.audit.queries import Filters
from campaigns.audit.wording import ACTIONS, KINDS, action_words, group_words, kind_words
from campaigns.languages import choose_timezone, zone

MOST_CHARACTERS = 254


class FilterForm(FlaskForm):  # type: ignore[misc]
    """Who, what, to which object, when. Read from the address, so that a view can be kept and passed on."""

    actor = StringField(_l("Person"))
    action = SelectField(_l("Action"), validate_choice=False)
    kind = SelectField(_l("Kind of object"), validate_choice=False)
    id = StringField(_l("Number"))
    since = DateField(_l("First day"), validators=[Optional()])
    until = DateField(_l("Last day"), validators=[Optional()])

    def __init__(self) -> None:
        super().__init__(request.args, meta={"csrf": False})
        self.action.choices = _action_choices()
        self.kind.choices = [("", _l("All")), *((kind, kind_words(kind)) for kind in KINDS)]
        self.validate()

    @property
    def chosen(self) -> Filters:
        """What is asked for; days begin and end in the reader's time zone, and what is no date counts as none."""
        return Filters(
            actor=_text(self.actor.data),
            action=_text(self.action.data),
            kind=_text(self.kind.data),
            target_id=_text(self.id.data),
            since=_midnight(self.since.data),
            until=_midnight(self.until.data, days=1),
        )

    @property
    def as_arguments(self) -> dict[str, Any]:
        """What is chosen, for addresses of other pages of the same view."""
        names = ("actor", "action", "kind", "id", "since", "until")
        return {name: value for name in names if (value := _text(request.args.get(name)))}


def _action_choices() -> dict[str, Iterable[tuple[str, Any]]] | list[Any]:
    groups = groupby(sorted(ACTIONS), key=lambda action: action.partition(".")[0])
    named = {group_words(group): [(each, action_words(each)) for each in actions] for group, actions in groups}
    return {"": [("", _l("All"))], **named}


def _text(value: Any) -> str:
    return str(value or "").strip()[:MOST_CHARACTERS]


def _midnight(day: Any, *, days: int = 0) -> datetime | None:
    return datetime.combine(day + timedelta(days=days), time(), tzinfo=zone(choose_timezone())) if day else None
