"""A campaign's name in lists and headings: its subject as people will read it."""

from __future__ import annotations

from functools import lru_cache

from flask_babel import gettext as _

from campaigns.compose.contexts import Context
from campaigns.compose.merge import OutputTooLong, parse
from campaigns.compose.merge_tags import MergeError


def campaign_title(subject: str) -> str:
    """Return a subject with each field's default in its place, or the field's name in brackets where it has none."""
    return _filled(subject).strip() or _("(no subject yet)")


@lru_cache(maxsize=512)
def _filled(subject: str) -> str:
    try:
        template = parse(subject, Context.HEADER)
        names = {name: f"[{name}]" for name in template.fields_without_default}
        return template.render(names)
    except (MergeError, OutputTooLong):
        return subject
