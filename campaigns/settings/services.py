"""What changes settings. Each function is one transaction, conditional on the version that the person has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g
from flask_babel import gettext as _
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.errors import Conflict
from campaigns.extensions import db
from campaigns.page_frame import PRODUCT
from campaigns.settings.queries import read_section, stored_values
from campaigns.settings.sections import Section
from campaigns.site import Site
from campaigns.stored_settings import StoredSetting, refresh_settings


class SettingsConflict(Conflict):
    """Somebody saved the section in between."""


def save_section(section: Section, values: Mapping[str, Any], *, version: int) -> bool:
    """Save values of a section that was read at `version`; tells whether anything changed. Commits.

    Saving what is there already changes nothing, so a repeat is harmless. Raises SettingsConflict when somebody saved
    in between.
    """
    before = read_section(section).values
    changed = {field: value for field, value in values.items() if before[field] != value}
    if not changed:
        return False
    store(section.key, {} if section.is_of_site else changed, version=version)
    if section.is_of_site:
        _write_site(changed)
    record_change(section.key, before={field: before[field] for field in changed}, after=changed)
    commit()
    return True


def store(key: str, changed: Mapping[str, Any], *, version: int) -> None:
    """Lay values over what is stored of a section; a step of the caller's transaction.

    Raises SettingsConflict, after a rollback, when the section is not at `version` any more.
    """
    saved = _add(key, changed) if version == 0 else _change(key, {**stored_values(key), **changed}, version)
    if not saved:
        db.session.rollback()
        raise SettingsConflict(_("Somebody else has saved these settings in the meantime."))


def record_change(key: str, *, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Write a change of a section into the activity log; a step of the caller's transaction."""
    record_action("settings.changed", Target("setting", key, key), before=before, after=after)


def commit() -> None:
    """Commit, and let this process see what was stored at once."""
    db.session.commit()
    g.pop("site", None)
    refresh_settings(at_once=True)


def _add(key: str, values: Mapping[str, Any]) -> bool:
    db.session.add(StoredSetting(name=key, value=dict(values), version=1))
    try:
        db.session.flush()
    except IntegrityError:
        return False
    return True


def _change(key: str, values: Mapping[str, Any], version: int) -> bool:
    result = db.session.execute(
        update(StoredSetting)
        .where(StoredSetting.name == key, StoredSetting.version == version)
        .values(value=dict(values), version=version + 1, changed_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def _write_site(changed: Mapping[str, Any]) -> None:
    site = db.session.get(Site, 1)
    if site is None:
        site = Site(id=1, name=PRODUCT)
        db.session.add(site)
    for field, value in changed.items():
        setattr(site, field, value)
