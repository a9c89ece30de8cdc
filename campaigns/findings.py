"""What the doctor finds: one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # nothing to do, or not for this command to know
    WARN = "warn"  # works, and will hurt some day
    BAD = "bad"  # does not work


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do where something is to be done."""

    check: str
    level: Level
    found: str
    advice: str = ""
    lines: Sequence[str] = ()  # what was said on the way, for who wants to read it


def good(check: str, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, found)


def note(check: str, found: str, advice: str = "") -> Finding:
    """Return a finding without a verdict."""
    return Finding(check, Level.NOTE, found, advice)


def warn(check: str, found: str, advice: str) -> Finding:
    """Return a finding that is to be mended some day."""
    return Finding(check, Level.WARN, found, advice)


def bad(check: str, found: str, advice: str) -> Finding:
    """Return a finding that is to be mended now."""
    return Finding(check, Level.BAD, found, advice)
