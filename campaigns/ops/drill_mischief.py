"""How the drill's mail server may misbehave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """Where in the dialogue the server misbehaves."""

    MAIL = "mail"
    RCPT = "rcpt"
    CONTENT = "content"  # with a refusal as the answer
    BEFORE_DOT = "before_dot"  # hangs up with the content half read
    AFTER_DOT_KEPT = "after_dot_kept"  # takes the mail and hangs up without an answer
    AFTER_DOT_LOST = "after_dot_lost"  # hangs up without an answer, and the mail is gone


@dataclass
class Mischief:
    """A misbehaviour and how many more times it happens.

    `reply` is the answer at MAIL, RCPT and CONTENT. At RCPT only recipients of `domain` are concerned, if one is given.
    `then` is called at that very moment: at BEFORE_DOT some content has come, at AFTER_DOT_KEPT the mail is kept.
    """

    step: Step
    times: int
    reply: str = ""
    domain: str = ""
    then: Callable[[], object] = lambda: None
