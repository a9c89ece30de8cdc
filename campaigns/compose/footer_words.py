"""The words around an announcement, in the campaign's language rather than that of the person who reads the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FooterWords:
    """The constant words of a mail's footer."""

    why: str
    unsubscribe: str
    unsubscribe_hint: str
    contact: str
    test_prefix: str


def footer_words(language: str) -> FooterWords:
    """Return the footer's words; English for a language that the product does not speak."""
    return _WORDS.get(language.partition("-")[0].partition("_")[0], _WORDS["en"])


_WORDS: Final = {
    "ko": FooterWords(
        why="회원으로 등록된 주소로 보내 드린 소식입니다.",
        # Korean law wants the way out named in both languages.
        unsubscribe="수신거부 (Unsubscribe)",
        unsubscribe_hint="더 이상 받고 싶지 않으시면 언제든 그만 받을 수 있습니다.",
        contact="문의",
        test_prefix="[테스트]",
    ),
    "en": FooterWords(
        why="You receive this because this address belongs to an account.",
        unsubscribe="Unsubscribe",
        unsubscribe_hint="You can stop receiving announcements at any time.",
        contact="Contact",
        test_prefix="[Test]",
    ),
}
