"""What can be done for some of an ended campaign's people at once, in words: the confirm page's, and the report's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext

from campaigns.delivery.reopening import Rest
from campaigns.presentation import format_number


@dataclass(frozen=True)
class Action:
    """One action. `sentence` takes the number of people; a word has to be typed from `type_from` people on."""

    rest: Rest
    title: Any
    sentence: Callable[[int], str]
    warning: Any
    button: Callable[[int], str]
    nobody: Any
    word: Any = ""
    words_elsewhere: tuple[str, ...] = ()
    is_sending: bool = True


def _leave_sentence(people: int) -> str:
    return str(
        ngettext(
            "%(people)s mail has no answer. It stays marked as not certain, and nothing more is sent.",
            "%(people)s mails have no answer. They stay marked as not certain, and nothing more is sent.",
            people,
            people=format_number(people),
        )
    )


def _again_sentence(people: int) -> str:
    return str(
        ngettext(
            "%(people)s person whose mail has no answer is sent to once more.",
            "%(people)s people whose mails have no answer are sent to once more.",
            people,
            people=format_number(people),
        )
    )


def _retry_sentence(people: int) -> str:
    return str(
        ngettext(
            "%(people)s person's mail was only temporarily refused, until the time was up. It is tried again.",
            "%(people)s people's mails were only temporarily refused, until the time was up. They are tried again.",
            people,
            people=format_number(people),
        )
    )


def _rest_sentence(people: int) -> str:
    return str(
        ngettext(
            "%(people)s person got no mail because the campaign was cancelled. It is sent to exactly this one.",
            "%(people)s people got no mail because the campaign was cancelled. It is sent to exactly these.",
            people,
            people=format_number(people),
        )
    )


def _send_button(people: int) -> str:
    return str(ngettext("Send to %(people)s person", "Send to %(people)s people", people, people=format_number(people)))


def _leave_button(people: int) -> str:
    return str(ngettext("Leave %(people)s mail", "Leave %(people)s mails", people, people=format_number(people)))


TWICE: Final = _l("Each may have arrived already: whoever got it gets it a second time.")
SINCE: Final = _l(
    "Who has unsubscribed or been suppressed since is left out. A mail that has been sent cannot be called back."
)

ACTIONS: Final[dict[str, Action]] = {
    "leave": Action(
        Rest.UNCERTAIN, _l("Leave them all as they are?"), _leave_sentence,
        _l("The campaign no longer asks for your review. You can still send to each of them later."), _leave_button,
        _l("There is nobody to decide on any more."), _l("leave"), ("leave", "그대로"), is_sending=False,
    ),
    "send-again": Action(
        Rest.UNCERTAIN, _l("Send to all of them again?"), _again_sentence, TWICE, _send_button,
        _l("There is nobody to decide on any more."), _l("send again"), ("send again", "다시 보내기"),
    ),
    "retry-failed": Action(
        Rest.FAILED, _l("Try the temporary failures again?"), _retry_sentence,
        _l("Whoever was permanently refused is never tried again. A mail that is sent cannot be called back."),
        _send_button, _l("There is nobody whose mail was only temporarily refused."),
    ),
    "send-rest": Action(
        Rest.CANCELLED, _l("Send it to the rest?"), _rest_sentence, SINCE, _send_button,
        _l("There is nobody left who did not get the mail because of a cancel."),
    ),
}  # fmt: skip


def describe_counts(counts: dict[Rest, int]) -> list[tuple[str, str]]:
    """Return (action, words of its link) for every action that concerns somebody."""
    words = {
        Rest.FAILED: ("retry-failed", _retry_link),
        Rest.CANCELLED: ("send-rest", _rest_link),
    }
    return [(name, link(counts[rest])) for rest, (name, link) in words.items() if counts.get(rest)]


def _retry_link(people: int) -> str:
    return str(
        ngettext(
            "Try %(people)s temporary failure again",
            "Try %(people)s temporary failures again",
            people,
            people=format_number(people),
        )
    )


def _rest_link(people: int) -> str:
    return str(
        ngettext(
            "Send to exactly the %(people)s person left",
            "Send to exactly the %(people)s people left",
            people,
            people=format_number(people),
        )
    )


def started_words(people: int) -> str:
    """Say that sending goes on to so many."""
    return str(
        ngettext(
            "%(people)s person waits again. Sending starts in a moment.",
            "%(people)s people wait again. Sending starts in a moment.",
            people,
            people=format_number(people),
        )
    )


def launched_words(people: int) -> str:
    """Say to how many a campaign was launched."""
    number = format_number(people)
    return str(ngettext("Launched to %(people)s person.", "Launched to %(people)s people.", people, people=number))


def left_words(people: int) -> str:
    """Say that so many mails were left as they are."""
    return str(ngettext(
        "%(people)s mail was left as it is.", "%(people)s mails were left as they are.", people,
        people=format_number(people),
    ))  # fmt: skip


def not_ended_words() -> str:
    """Say why nothing can be reopened now."""
    return str(_("That is possible once the campaign has ended. Nothing was changed."))
