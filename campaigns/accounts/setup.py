"""The first visit: whoever holds the token printed in the terminal becomes the owner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.addresses import Address
from campaigns.accounts.logins import Visitor, begin_login
from campaigns.accounts.models import User
from campaigns.accounts.passwords import hash_password
from campaigns.accounts.queries import find_user, somebody_has_a_role
from campaigns.audit.services import Actor, Target, record_action
from campaigns.clock import utcnow
from campaigns.errors import Conflict
from campaigns.extensions import db
from campaigns.secret_files import kept_secret
from campaigns.security import Role
from campaigns.site import Site


@dataclass(frozen=True, kw_only=True)
class FirstOwner:
    """The person who sets the site up."""

    address: Address
    password: str
    name: str


@dataclass(frozen=True, kw_only=True)
class SiteDetails:
    """What the site is called and whom its mail is from."""

    name: str
    language: str
    timezone: str
    sender_name: str
    sender_address: str
    postal_address: str


def setup_token(instance_dir: Path) -> str:
    """Return the token that /setup asks for, kept in the instance folder; whoever comes first makes it.

    Needs no application: the supervisor prints it, the page checks it. Two first callers agree on one.
    """
    return kept_secret(_token_path(instance_dir), size_bytes=24)


def forget_setup_token(instance_dir: Path) -> None:
    """Throw the token away; it opens nothing any more. Harmless to repeat."""
    _token_path(instance_dir).unlink(missing_ok=True)


def set_up(owner: FirstOwner, site: SiteDetails, *, visitor: Visitor) -> User:
    """Create the owner and the site in one transaction, and log the owner in. Commits.

    The person returned carries the log-in's secret. Raises Conflict when somebody else was first.
    """
    user = _make_owner(owner, site)
    db.session.merge(Site(id=1, signups_open=True, **vars(site)))
    try:
        db.session.flush()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict(_("This site has just been set up by somebody else.")) from error
    record_action("site.set_up", Target("site", name=site.name), by=Actor(user.id, user.email))
    begin_login(user, remember=False, visitor=visitor)
    db.session.commit()
    return user


def _make_owner(owner: FirstOwner, site: SiteDetails) -> User:
    if somebody_has_a_role():
        raise Conflict(_("This site has just been set up by somebody else."))
    user = find_user(owner.address.key) or User(email=owner.address.email, address_key=owner.address.key)
    user.name = owner.name
    user.language = site.language
    user.password_hash = hash_password(owner.password)
    user.role = Role.OWNER
    user.verified_at = utcnow()
    db.session.add(user)
    return user


def _token_path(instance_dir: Path) -> Path:
    return instance_dir / "setup_token"
