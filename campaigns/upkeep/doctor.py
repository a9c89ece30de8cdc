"""The doctor: looks at everything a site needs, and says what to do about each thing that is not right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flask_babel import force_locale
from sqlalchemy.exc import SQLAlchemyError

from campaigns.config import current_settings
from campaigns.findings import Finding, good, note
from campaigns.mail.domain_checks import Domain, Fact, check_domain
from campaigns.mail.domain_words import describe_fact
from campaigns.site import default_sender
from campaigns.upkeep.doctor_outside import check_mail_servers, check_public_address
from campaigns.upkeep.doctor_places import check_clock, check_disk, check_journals, check_settings
from campaigns.upkeep.doctor_servers import check_broker, check_database, check_processes, check_redis

OWN_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_settings,
    check_disk,
    check_journals,
    check_database,
    check_redis,
    check_broker,
    check_processes,
    check_clock,
    check_public_address,
)


OPTIONS = {
    "no_answer": " (--nameserver HOST)",
    "dkim_unnamed": " (--selector NAME)",
    "ptr_unnamed": " (--ip ADDRESS)",
}


@dataclass(frozen=True)
class Wishes:
    """What the operator tells the doctor."""

    selectors: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    nameserver: str = ""
    offline: bool = False  # look at nothing beyond this site's own servers


def examine(wishes: Wishes) -> Iterator[Finding]:
    """Yield what is found, check by check, in the order in which things depend on each other; changes nothing."""
    for check in OWN_CHECKS:
        yield from check()
    yield from check_mail_servers()
    yield from _check_sender(wishes)


def _check_sender(wishes: Wishes) -> Iterator[Finding]:
    try:
        name, address = default_sender()
    except SQLAlchemyError:
        return  # the database's own check has said so
    yield good("sender", f"{name} <{address}>")
    domain = address.rpartition("@")[2]
    if wishes.offline or is_reserved(domain):
        yield note("sending domain", f"{domain} is not looked up")
        return
    nameserver = wishes.nameserver or current_settings().dns_server
    for fact in check_domain(Domain(domain, wishes.selectors, wishes.addresses, nameserver)):
        yield _in_words(fact)


def _in_words(fact: Fact) -> Finding:
    """Commands speak English, and name the option that says what was not known."""
    with force_locale("en"):
        found, advice = describe_fact(fact)
    return Finding(fact.check, fact.level, found, advice + OPTIONS.get(fact.code, ""))


def is_reserved(name: str) -> bool:
    """Tell whether nobody can own a domain (RFC 6761, RFC 6762)."""
    return name.rpartition(".")[2] in {"test", "localhost", "localdomain", "invalid", "example", "local"}
