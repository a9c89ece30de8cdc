"""What needs a person's attention: each area says it through a source, and the dashboard lists them first."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from campaigns.extensions import db
from campaigns.security import Right, can

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """One thing to look at: what it is, where to go, and who can do something about it."""

    text: str
    url: str = ""
    kind: Literal["bad", "warn"] = "warn"
    right: Right = Right.VIEW
    detail: str = ""
    key: str = ""  # the same for the same thing on another day; a source whose words count gives one, for plurals


Source = Callable[[], Iterable[Attention]]
_sources: list[Source] = []


def attention_source(source: Source) -> Source:
    """Register a function that returns what needs attention now; areas above this one use it as a decorator.

    It runs whenever the dashboard is opened, so it reads a few rows at most.
    """
    _sources.append(source)
    return source


def things_to_attend(*, may: Callable[[Right], bool] = can) -> list[Attention]:
    """Return what a person can do something about, the worst first. Never raises for one source.

    `may` tells of a right whether the person has it; without it, it is the person of this request.
    """
    found = [thing for source in _sources for thing in _ask(source) if may(thing.right)]
    return sorted(found, key=lambda thing: thing.kind != "bad")


def _key_of(source: Source, thing: Attention) -> str:
    """Return what a thing is known by: who says it, where it leads, and its own key or its words without numbers."""
    words = thing.key or re.sub(r"\d[\d,.\s]*", "#", thing.text)
    return hashlib.sha256(f"{source.__module__}.{source.__name__}|{thing.url}|{words}".encode()).hexdigest()[:16]


def _ask(source: Source) -> list[Attention]:
    try:
        return [replace(thing, key=_key_of(source, thing)) for thing in source()]
    except Exception:
        logger.exception("a source of the dashboard's attention list failed")
        db.session.rollback()
        return []
