"""Storing settings as another process would, past what this one knows."""

from __future__ import annotations

from typing import Any

from campaigns.extensions import db
from campaigns.mail_server_urls import MailServerUrl
from campaigns.stored_settings import StoredSetting, refresh_settings, stored_servers


def store(section: str, **values: Any) -> None:
    """Store values of a section, as another process has just done."""
    row = db.session.get(StoredSetting, section) or StoredSetting(name=section, version=0)
    row.value, row.version = values, row.version + 1
    db.session.add(row)
    db.session.commit()


def store_and_look(section: str, **values: Any) -> None:
    """Store values of a section, and let this process see them."""
    store(section, **values)
    refresh_settings(at_once=True)


def store_servers(*servers: MailServerUrl) -> None:
    """Store mail servers, and let this process see them."""
    store_and_look("mail", mail_servers=stored_servers(servers))
