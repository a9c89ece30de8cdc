"""What the settings pages read; nothing here commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import g
from flask_babel import gettext as _
from sqlalchemy import select

from campaigns.config import current_settings
from campaigns.errors import NotFound
from campaigns.extensions import db
from campaigns.mail.mail_servers import MailServer, servers
from campaigns.settings.sections import MAIL, SECTIONS, Section
from campaigns.site import current_site
from campaigns.stored_settings import StoredSetting, refresh_settings


@dataclass(frozen=True)
class SectionValues:
    """A section as it is now: how often it was saved, and its values by field."""

    version: int
    values: dict[str, Any]


def get_section(key: str) -> Section:
    """Return a section that is one form. Raises NotFound; the mail servers have pages of their own."""
    if key not in SECTIONS or key == MAIL:
        raise NotFound(_("There is no such page."))
    return SECTIONS[key]


def read_section(section: Section) -> SectionValues:
    """Return a section's values as everybody uses them now, and the version that a save has to name."""
    version = section_version(section.key)
    refresh_settings(at_once=True)
    g.pop("site", None)
    source = current_site() if section.is_of_site else current_settings()
    return SectionValues(version, {field: getattr(source, field) for field in section.fields})


def section_version(key: str) -> int:
    """Return how often a section was saved; 0 when never."""
    return db.session.scalar(select(StoredSetting.version).where(StoredSetting.name == key)) or 0


def stored_values(key: str) -> dict[str, Any]:
    """Return what is stored of a section, passwords encrypted."""
    return dict(db.session.scalar(select(StoredSetting.value).where(StoredSetting.name == key)) or {})


def fixed_fields(section: Section) -> frozenset[str]:
    """Return the fields of a section that the environment says, and the browser cannot change."""
    return frozenset() if section.is_of_site else frozenset(section.fields) & current_settings().given


def servers_are_fixed() -> bool:
    """Tell whether the environment names the mail servers."""
    return "mail_servers" in current_settings().given


def servers_in_use() -> tuple[MailServer, ...]:
    """Return the mail servers that mail goes to now; in trial mode the catcher."""
    return servers(current_settings())


def servers_without_password() -> list[str]:
    """Return the names of mail servers whose stored password cannot be decrypted any more."""
    return [server.name for server in current_settings().mail_servers if server.password_is_lost]


def mail_section() -> SectionValues:
    """Return the mail servers as they are stored and used, and the version that a change has to name."""
    return read_section(SECTIONS[MAIL])
