"""People: one row per mail address, whether they sign up, are imported, receive mail or run the site."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from campaigns.clock import utcnow
from campaigns.database import BigId, KeyText
from campaigns.extensions import db
from campaigns.security import ROLE_RIGHTS, Right, Role

HAS_ROLE = text("role IS NOT NULL")
IS_UNSUBSCRIBED = text("unsubscribed_at IS NOT NULL")
IS_UNVERIFIED = text("verified_at IS NULL AND unsubscribed_at IS NULL")


class User(db.Model):  # type: ignore[name-defined,misc]
    """A person with a mail address: with a password they log in, verified they receive, with a role they run it."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("address_key"),
        Index("ix_users_created_at_id", "created_at", "id"),
        # The few who run the site are found among a million without reading them all.
        Index("ix_users_role", "role", sqlite_where=HAS_ROLE, postgresql_where=HAS_ROLE),
        # So are those who get nothing; the key is the id, in whose order people are listed.
        Index("ix_users_unsubscribed", "id", sqlite_where=IS_UNSUBSCRIBED, postgresql_where=IS_UNSUBSCRIBED),
        Index("ix_users_unverified", "id", sqlite_where=IS_UNVERIFIED, postgresql_where=IS_UNVERIFIED),
        # For names that begin alike, compared byte by byte whatever the database's collation is.
        Index("ix_users_name", "name", postgresql_ops={"name": "varchar_pattern_ops"}),
        # The id is in people's mailboxes, in links that never expire: nobody else is ever given it.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(String(254))  # as written, the domain in lower case and A-labels
    address_key: Mapped[str] = mapped_column(KeyText)  # the address in lower case: who it is
    name: Mapped[str] = mapped_column(String(200), default="")
    language: Mapped[str | None] = mapped_column(String(8))
    timezone: Mapped[str | None] = mapped_column(String(64))
    attributes: Mapped[dict[str, str]] = mapped_column(default=dict)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str | None] = mapped_column(String(10))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
    verified_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    two_step_at: Mapped[datetime | None]  # since when a code is asked for after the password
    deactivated_at: Mapped[datetime | None]  # keeps the role, but may not log in
    wants_digest: Mapped[bool] = mapped_column(default=True, server_default=text("true"))  # for those who run the site

    # What Flask-Login asks of a person; its user id is the secret of one log-in, put here when the log-in begins.
    is_authenticated = True
    is_active = True
    is_anonymous = False
    login_token = ""

    def get_id(self) -> str:
        """Return the secret of the log-in that began in this request, for the session cookie."""
        return self.login_token

    @property
    def has_account(self) -> bool:
        """Whether the person has a password and has proved that the address is theirs."""
        return self.password_hash is not None and self.verified_at is not None

    @property
    def can_log_in(self) -> bool:
        """Whether the person has an account that nobody has deactivated."""
        return self.has_account and self.deactivated_at is None

    @property
    def wants_announcements(self) -> bool:
        """Whether announcements may be sent to this person, suppression aside."""
        return self.unsubscribed_at is None

    def may(self, right: Right) -> bool:
        """Tell whether the person's role has the right."""
        return self.role is not None and right in ROLE_RIGHTS[Role(self.role)]


class LinkPurpose(StrEnum):
    """What a mailed link is for; one kind of link never opens another's door."""

    VERIFY = "verify"
    RESET = "reset"
    ADDRESS = "address"  # a new address for an account


class AccountLink(db.Model):  # type: ignore[name-defined,misc]
    """A mailed link that acts once. The token is signed and never stored: a copy of the table opens nothing.

    `mail_id` is the outbox mail that carries it, so that a mail sent again carries the same link.
    """

    __tablename__ = "account_link"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(String(10))
    nonce: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    mail_id: Mapped[int | None] = mapped_column(BigId, unique=True)
    new_email: Mapped[str | None] = mapped_column(String(254))  # of a link of the purpose ADDRESS

    user: Mapped[User] = relationship()


class LoginSession(db.Model):  # type: ignore[name-defined,misc]
    """One log-in of one person on one device; deleting the row ends it at once.

    One that still `needs_code` has seen the right password and opens nothing but the page that asks for the code.
    """

    __tablename__ = "login_session"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    is_remembered: Mapped[bool] = mapped_column(default=False)  # "keep me logged in": may rest for days
    needs_code: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    ip_address: Mapped[str] = mapped_column(String(45), default="")
    device: Mapped[str] = mapped_column(String(200), default="")

    user: Mapped[User] = relationship()


class RefusedLogin(db.Model):  # type: ignore[name-defined,misc]
    """A password that did not fit, kept for seconds, until a task has looked whether the activity log is to know.

    No foreign key: checking it would take longer for somebody who exists than for nobody.
    """

    __tablename__ = "refused_login"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(BigId)  # whose it was to be; nobody may have the address
    ip_address: Mapped[str] = mapped_column(String(45))
    at: Mapped[datetime] = mapped_column(default=utcnow)


class SecondFactor(db.Model):  # type: ignore[name-defined,misc]
    """The secret that a person's app makes codes of, encrypted; offered until confirmed by a first code.

    `last_step` is the time step (RFC 6238 §4.2) of the last code that was taken: no code is taken twice.
    """

    __tablename__ = "second_factor"

    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[str] = mapped_column(Text)
    last_step: Mapped[int] = mapped_column(BigId, default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(db.Model):  # type: ignore[name-defined,misc]
    """One code that logs in once in place of the app's, as a hash."""

    __tablename__ = "recovery_code"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[str] = mapped_column(String(200))
    used_at: Mapped[datetime | None]
