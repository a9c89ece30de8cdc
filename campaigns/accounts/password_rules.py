"""Which passwords are refused: too short, too long, or among the first that anybody would try. Pure.

There are no rules about capitals, digits or signs; length and a local list of common passwords do more
(NIST SP 800-63B §5.1.1.2).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

MIN_LENGTH = 12
MAX_LENGTH = 128

_LOOKALIKES = str.maketrans("013457@$!", "oieastasi")
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡ",
    "가나다라마바사아자차카타파하",
)


class PasswordProblem(StrEnum):
    """Why a password is refused."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    COMMON = "common"
    PERSONAL = "personal"  # made of the person's own address or name, or the site's


def password_problem(password: str, *, known_words: Iterable[str] = ()) -> PasswordProblem | None:
    """Return why `password` is refused, or None.

    `known_words` is what an attacker knows of the person: address, name, the site's name.
    """
    password = unicodedata.normalize("NFKC", password)
    if len(password) < MIN_LENGTH:
        return PasswordProblem.TOO_SHORT
    if len(password) > MAX_LENGTH:
        return PasswordProblem.TOO_LONG
    if _is_common(password):
        return PasswordProblem.COMMON
    if _is_made_of(password, _stems_of(known_words)):
        return PasswordProblem.PERSONAL
    return None


def _is_common(password: str) -> bool:
    lowered = password.lower()
    return lowered in _common() or _repeats(lowered) or _follows_a_row(lowered) or _is_made_of(password, _common())


def _repeats(password: str) -> bool:
    """Whether it is a piece of up to four characters over and over."""
    return any(password == (password[:size] * len(password))[: len(password)] for size in range(1, 5))


def _follows_a_row(password: str) -> bool:
    """Whether it runs along the keyboard or the alphabet, forwards or backwards, once or again and again."""
    return any(password in run * 12 for row in _ROWS for run in (row, row[::-1]))


def _is_made_of(password: str, words: frozenset[str]) -> bool:
    """Whether letters like 3 for e put aside, and digits and signs around them, only these words remain."""
    lowered = password.lower()
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lowered)
    letters = {re.sub(r"[\W\d_]+", "", spelling) for spelling in (lowered, core.translate(_LOOKALIKES))}
    return any(_splits_into(each, words) for each in letters if each)


def _splits_into(text: str, words: frozenset[str]) -> bool:
    """Whether `text` is one of the words, or one of them again and again."""
    sizes = (size for size in range(1, len(text) + 1) if len(text) % size == 0)
    return any(text[:size] in words and text == text[:size] * (len(text) // size) for size in sizes)


def _stems_of(known_words: Iterable[str]) -> frozenset[str]:
    """Return the words themselves and the parts of addresses, of four letters and more."""
    lowered = [word.lower() for word in known_words]
    parts = {part for word in lowered for part in re.split(r"[^\w]+|_", word)} | set(lowered)
    plain = {re.sub(r"[\W\d_]+", "", part) for part in parts}
    return frozenset(part for part in plain if len(part) >= 4)


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
