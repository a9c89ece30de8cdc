"""What an owner has tried out, from the button to the result: asked for, done once by a task, kept with its time.

A test mail is never sent a second time by itself: a try that was begun and not ended stays as it is, and its page says
so. One that nobody has begun is found by the sweep, until nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy import select, update

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.errors import NotFound
from campaigns.extensions import db
from campaigns.findings import Level
from campaigns.mail.addresses import AddressError
from campaigns.mail.domain_checks import Domain, Fact, check_domain
from campaigns.mail.headers import HeaderError
from campaigns.settings.models import CheckKind, SettingsCheck
from campaigns.settings.queries import servers_in_use
from campaigns.settings.server_test import send_test_mail
from campaigns.settings.tried_mail import TriedMail

TAKEN_WITHIN: Final = timedelta(seconds=10)  # a worker that is there takes it at once
ENDED_WITHIN: Final = timedelta(seconds=150)  # a test mail takes a minute at most, a domain less
GIVEN_UP_AFTER: Final = timedelta(minutes=10)  # nobody waits before the page any more


class Standing(StrEnum):
    """How far a try is."""

    WAITING = "waiting"
    LATE = "late"  # nobody has begun it, and by now somebody should have
    RUNNING = "running"
    BROKEN_OFF = "broken_off"  # begun and never ended: the worker has gone
    DROPPED = "dropped"  # nobody began it in time, and nobody will
    DONE = "done"

    @property
    def is_open(self) -> bool:
        """Whether news is still to be expected."""
        return self in {Standing.WAITING, Standing.LATE, Standing.RUNNING}


def ask_for_test_mail(server: str, *, to_address: str, language: str) -> int:
    """Ask for a test mail over a server and return the try's id; the edge starts the task. Commits."""
    return _ask(CheckKind.TEST_MAIL, server, {"to": to_address, "language": language})


def ask_for_domain(domain: str, *, selectors: Sequence[str], addresses: Sequence[str]) -> int:
    """Ask for a look at a domain's records and return the try's id; the edge starts the task. Commits."""
    return _ask(CheckKind.DOMAIN, domain, {"selectors": list(selectors), "addresses": list(addresses)})


def run_check(check_id: int) -> None:
    """Do what was asked for, once: a second message, or one that comes too late, does nothing. Commits twice."""
    if not _begin(check_id):
        return
    check = db.session.get_one(SettingsCheck, check_id)
    result = _DEEDS[CheckKind(check.kind)](check.about, check.asked)
    check.result, check.finished_at = result, utcnow()
    db.session.commit()


def forgotten_checks() -> list[int]:
    """Return the tries that somebody waits for and no worker has begun, although it should have."""
    now = utcnow()
    waits = SettingsCheck.created_at.between(now - GIVEN_UP_AFTER, now - TAKEN_WITHIN)
    return list(db.session.scalars(select(SettingsCheck.id).where(SettingsCheck.started_at.is_(None), waits)))


def get_check(check_id: int, kind: CheckKind) -> SettingsCheck:
    """Return a try. Raises NotFound."""
    check = db.session.get(SettingsCheck, check_id)
    if check is None or check.kind != kind:
        raise NotFound(_("There is no such test, or it is too old."))
    return check


def last_check_of(domain: str) -> SettingsCheck | None:
    """Return the last look at a domain."""
    mine = SettingsCheck.kind == CheckKind.DOMAIN, SettingsCheck.about == domain
    return db.session.scalar(select(SettingsCheck).where(*mine).order_by(SettingsCheck.id.desc()).limit(1))


def standing_of(check: SettingsCheck) -> Standing:
    """Return how far a try is."""
    now = utcnow()
    if check.finished_at is not None:
        return Standing.DONE
    if check.started_at is not None:
        return Standing.RUNNING if now - check.started_at < ENDED_WITHIN else Standing.BROKEN_OFF
    if now - check.created_at > GIVEN_UP_AFTER:
        return Standing.DROPPED
    return Standing.WAITING if now - check.created_at < TAKEN_WITHIN else Standing.LATE


def facts_of(check: SettingsCheck) -> list[Fact]:
    """Return what a look at a domain found."""
    return [Fact(**{**each, "level": Level(each["level"])}) for each in check.result.get("facts", [])]


def _ask(kind: CheckKind, about: str, asked: dict[str, Any]) -> int:
    check = SettingsCheck(kind=kind.value, about=about[:300], asked=asked)
    db.session.add(check)
    db.session.commit()
    return check.id


def _begin(check_id: int) -> bool:
    now = utcnow()
    free = SettingsCheck.started_at.is_(None), SettingsCheck.created_at > now - GIVEN_UP_AFTER
    begun = update(SettingsCheck).where(SettingsCheck.id == check_id, *free).values(started_at=now)
    won = db.session.execute(begun.execution_options(synchronize_session=False))
    db.session.commit()
    return bool(won.rowcount == 1)  # type: ignore[attr-defined]


def _send_test(name: str, asked: dict[str, Any]) -> dict[str, Any]:
    server = next((each for each in servers_in_use() if each.name == name), None)
    if server is None:
        return {"error": "gone"}
    try:
        with force_locale(asked["language"]):
            return TriedMail.of(send_test_mail(server, to_address=asked["to"])).as_dict()
    except (AddressError, HeaderError):
        return {"error": "sender"}


def _look_at_domain(name: str, asked: dict[str, Any]) -> dict[str, Any]:
    domain = Domain(name, asked["selectors"], asked["addresses"], current_settings().dns_server)
    return {"facts": [asdict(fact) for fact in check_domain(domain)]}


_DEEDS: Final[dict[CheckKind, Callable[[str, dict[str, Any]], dict[str, Any]]]] = {
    CheckKind.TEST_MAIL: _send_test,
    CheckKind.DOMAIN: _look_at_domain,
}
