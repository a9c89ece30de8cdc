"""The site itself: one row with its name, language, zone and sender, made at the first visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import formataddr, parseaddr
from urllib.parse import urlsplit

from flask import g
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.extensions import db


class Site(db.Model):  # type: ignore[name-defined,misc]
    """The one row that says who this site is; `id` is always 1."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    language: Mapped[str] = mapped_column(String(8), default="ko")
    timezone: Mapped[str] = mapped_column(String(64), default="Asia/Seoul")
    sender_name: Mapped[str] = mapped_column(String(120), default="")
    sender_address: Mapped[str] = mapped_column(String(254), default="")
    reply_to: Mapped[str] = mapped_column(String(254), default="", server_default="")
    postal_address: Mapped[str] = mapped_column(String(300), default="")
    signups_open: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


@dataclass(frozen=True)
class SiteView:
    """What pages and mails know of the site, whether it has been set up or not."""

    name: str = "Carillon"
    language: str = "ko"
    timezone: str = "Asia/Seoul"
    sender_name: str = ""
    sender_address: str = ""
    reply_to: str = ""
    postal_address: str = ""
    signups_open: bool = True
    is_set_up: bool = False


def current_site() -> SiteView:
    """Return the site, read once per request or task; before the set-up, its defaults."""
    if "site" not in g:
        g.site = _read_site()
    view: SiteView = g.site
    return view


def default_sender() -> tuple[str, str]:
    """Return (name, address) that mail is from: the site's, else MAIL_DEFAULT_SENDER, else one on the public host."""
    site = current_site()
    if site.sender_address:
        return site.sender_name or site.name, site.sender_address
    name, address = parseaddr(current_settings().mail_default_sender)
    return (name or site.name, address) if address else (site.name, f"carillon@{_public_host()}")


def format_sender(name: str, address: str) -> str:
    """Return `Name <address>` as it is shown to people."""
    return formataddr((name, address)) if name.isascii() else f"{name} <{address}>"


def _public_host() -> str:
    host = urlsplit(current_settings().public_base_url).hostname or ""
    is_name = any(character.isalpha() for character in host) and "." in host
    return host if is_name else "localhost.localdomain"


def _read_site() -> SiteView:
    row = db.session.execute(select(Site).where(Site.id == 1)).scalar_one_or_none()
    if row is None:
        return SiteView()
    return SiteView(
        name=row.name,
        language=row.language,
        timezone=row.timezone,
        sender_name=row.sender_name,
        sender_address=row.sender_address,
        reply_to=row.reply_to,
        postal_address=row.postal_address,
        signups_open=row.signups_open,
        is_set_up=True,
    )
