"""The checks before sending: pure functions from a campaign's content and surroundings to findings.

A finding blocks the launch, warns, informs, or says that a check passed. What it says in words is in wording.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from campaigns.compose.marks import without_marks
from campaigns.compose.merge_tags import MergeProblem

CLIPPED_FROM_BYTES: Final = 102_400  # Gmail cuts longer HTML off, and with it the way to unsubscribe
LARGE_FROM_BYTES: Final = 80 * 1024
SUBJECT_CHARACTERS: Final = {"ko": 30, "en": 60}
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - recognised, not bound to


class Level(StrEnum):
    """How much a finding weighs."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: its weight, a stable code, the part of the composer to mend it in, and the details."""

    level: Level
    code: str
    part: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInput:
    """Everything the checks look at."""

    subject: str
    preheader: str
    body: str
    language: str
    version: int
    tested_version: int | None
    problems: Mapping[str, tuple[MergeProblem, ...]] = field(default_factory=dict)
    html_bytes: int = 0
    too_long: bool = False  # beyond what is rendered at all
    link_addresses: tuple[str, ...] = ()
    refused_addresses: tuple[str, ...] = ()
    images_without_alt: tuple[str, ...] = ()
    has_words: bool = True
    people_lacking: Mapping[str, int] = field(default_factory=dict)  # field without default → recipients without it
    public_base_url: str = ""
    mail_leaves_machine: bool = False
    sender_address: str = ""
    postal_address: str = ""


def run_checks(given: CheckInput) -> tuple[Finding, ...]:
    """Return what every check found, the heaviest first; a check that found nothing says that it passed."""
    findings: list[Finding] = []
    for code, check in _CHECKS.items():
        found = list(check(given))
        findings += found or [Finding(Level.OK, code)]
    return tuple(sorted(findings, key=lambda finding: list(Level).index(finding.level)))


def is_blocked(findings: tuple[Finding, ...]) -> bool:
    """Return whether a finding forbids the launch."""
    return any(finding.level is Level.BLOCK for finding in findings)


def _check_subject(given: CheckInput) -> Iterator[Finding]:
    if not given.subject.strip():
        yield Finding(Level.BLOCK, "subject-missing", "subject")


def _check_body(given: CheckInput) -> Iterator[Finding]:
    if not given.body.strip():
        yield Finding(Level.BLOCK, "body-missing", "body")
    elif not given.problems and not given.has_words:
        yield Finding(Level.WARN, "only-images", "body")


def _check_merge_fields(given: CheckInput) -> Iterator[Finding]:
    for part, problems in given.problems.items():
        for problem in problems:
            yield Finding(Level.BLOCK, "merge-problem", part, {"problem": problem})


def _check_missing_values(given: CheckInput) -> Iterator[Finding]:
    for name, count in sorted(given.people_lacking.items()):
        if count:
            yield Finding(Level.WARN, "values-missing", "body", {"name": name, "count": count})


def _check_links(given: CheckInput) -> Iterator[Finding]:
    for address in dict.fromkeys(given.refused_addresses):
        yield Finding(Level.BLOCK, "link-refused", "body", {"address": address})
    for address in dict.fromkeys(given.link_addresses):
        if trouble := _trouble_with_link(address):
            yield Finding(Level.BLOCK, trouble, "body", {"address": without_marks(address)})


def _trouble_with_link(address: str) -> str:
    literal = without_marks(address)
    if literal != address and not literal:
        return ""  # all of the address comes from a field, which is checked when it is written
    if literal in {"", "#"}:
        return "link-empty"
    starts_with_field = literal != address and not address.startswith(literal[:1])
    parts = urlsplit(literal)
    if not parts.scheme and not starts_with_field:
        return "link-relative"
    return "link-local" if (parts.hostname or "") in LOCAL_HOSTS else ""


def _check_images(given: CheckInput) -> Iterator[Finding]:
    if count := len(given.images_without_alt):
        yield Finding(Level.WARN, "alt-missing", "body", {"count": count, "address": given.images_without_alt[0]})


def _check_size(given: CheckInput) -> Iterator[Finding]:
    if given.too_long:
        yield Finding(Level.BLOCK, "size-impossible", "body")
    elif given.html_bytes > CLIPPED_FROM_BYTES:
        yield Finding(Level.WARN, "size-clipped", "body", {"bytes": given.html_bytes})
    elif given.html_bytes > LARGE_FROM_BYTES:
        yield Finding(Level.INFO, "size-large", "body", {"bytes": given.html_bytes})


def _check_subject_style(given: CheckInput) -> Iterator[Finding]:
    subject = re.sub(r"\{\{.*?\}\}", "", given.subject)
    most = SUBJECT_CHARACTERS.get(given.language, 60)
    if len(subject) > most:
        yield Finding(Level.INFO, "subject-long", "subject", {"count": len(subject), "most": most})
    letters = [character for character in subject if character.isalpha() and character.isascii()]
    if len(letters) >= 8 and all(character.isupper() for character in letters):
        yield Finding(Level.INFO, "subject-capitals", "subject")
    if re.match(r"\s*(re|fw|fwd|회신|답장|전달)\s*:", given.subject, re.IGNORECASE):
        yield Finding(Level.INFO, "subject-fake-reply", "subject")


def _check_preheader(given: CheckInput) -> Iterator[Finding]:
    if not given.preheader.strip():
        yield Finding(Level.INFO, "preheader-missing", "preheader")
    elif given.preheader.strip() == given.subject.strip():
        yield Finding(Level.INFO, "preheader-repeats", "preheader")


def _check_test(given: CheckInput) -> Iterator[Finding]:
    if given.tested_version is None:
        yield Finding(Level.WARN, "test-missing")
    elif given.tested_version != given.version:
        yield Finding(Level.WARN, "test-outdated")


def _check_public_address(given: CheckInput) -> Iterator[Finding]:
    if given.mail_leaves_machine and (urlsplit(given.public_base_url).hostname or "") in LOCAL_HOSTS:
        yield Finding(Level.BLOCK, "public-address-local", values={"address": given.public_base_url})


def _check_sender(given: CheckInput) -> Iterator[Finding]:
    domain = given.sender_address.rpartition("@")[2]
    if given.mail_leaves_machine and (not domain or domain.endswith(("localdomain", "localhost"))):
        yield Finding(Level.BLOCK, "sender-missing")
    if not given.postal_address.strip():
        yield Finding(Level.INFO, "postal-address-missing")


_CHECKS: Final[Mapping[str, Callable[[CheckInput], Iterator[Finding]]]] = {
    "subject": _check_subject,
    "body": _check_body,
    "merge-fields": _check_merge_fields,
    "missing-values": _check_missing_values,
    "links": _check_links,
    "images": _check_images,
    "size": _check_size,
    "subject-style": _check_subject_style,
    "preheader": _check_preheader,
    "test": _check_test,
    "public-address": _check_public_address,
    "sender": _check_sender,
}
