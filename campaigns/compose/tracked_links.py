"""Links of a mail that tell when they are followed: each leads by our own site, where its number stands for the target.

Only the HTML part is tracked. In the text part an address is what people read, and its length and host must be the
target's own. For the same reason these links of the HTML part lead straight to their targets too: those whose words are
an address, those with merge fields in the address, those that are no http or https, and those to the site's pages for
recipients, such as the one for unsubscribing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markdown_it.token import Token

from campaigns.compose.marks import Marks, without_marks

TRACKING_TOKEN: Final = ":tracking"  # noqa: S105 - the name of a field
"""The field that holds one recipient's token: a name that nobody can write in a merge field."""

TOKEN_CHARACTERS: Final = 32  # twice four bytes of numbers and a hash of sixteen, in base64 without padding
MOST_LINKS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Where tracked links lead; addresses are what comes before and after the token. None is not tracked.

    A link's number follows its address. `recipients_pages` is what the addresses of pages begin with that are never
    tracked.
    """

    link_address: tuple[str, str] | None = None
    picture_address: tuple[str, str] | None = None
    recipients_pages: str = ""


class LinkTracker:
    """Puts tracked addresses into one mail, and remembers the targets: link number n leads to `targets[n - 1]`."""

    def __init__(self, tracking: Tracking | None, marks: Marks) -> None:
        self._tracking = tracking or Tracking()
        self._token = marks.add_address_field(TRACKING_TOKEN) if tracking else ""
        self.targets: list[str] = []

    @property
    def picture(self) -> str:
        """The address of the picture that tells of an opening; empty when openings are not tracked."""
        return self._token.join(self._tracking.picture_address or ())

    def address_for(self, opening: Token, words: Sequence[Token]) -> str:
        """Return what a link's address is in the mail: a tracked one, or its own."""
        target = str(opening.attrs["href"])
        address = self._tracking.link_address
        if address is None or not self._may_track(target, "".join(word.content for word in words)):
            return target
        if target not in self.targets:
            if len(self.targets) == MOST_LINKS:
                return target
            self.targets.append(target)
        return f"{self._token.join(address)}{self.targets.index(target) + 1}"

    def _may_track(self, target: str, words: str) -> bool:
        pages = self._tracking.recipients_pages
        is_plain = without_marks(target) == target and is_web_address(target)
        return is_plain and not (pages and target.startswith(pages)) and not _LOOKS_LIKE_ADDRESS.search(words)


def is_web_address(target: str) -> bool:
    """Tell whether an address is one that a browser may be sent to: http or https, with a host, on one line."""
    return bool(_WEB_ADDRESS.fullmatch(target))


_WEB_ADDRESS: Final = re.compile(r"https?://[^/?#\s\\@]+(?:[/?#][^\s\\]*)?", re.IGNORECASE)
# A word with a scheme, or one that is a host name: `example.com/news`. Two letters or more after the last dot, so that
# a number such as 3.5 is none.
_LOOKS_LIKE_ADDRESS: Final = re.compile(
    r"https?://|(?:^|\s)(?:[\w-]+\.)+[^\W\d_]{2,}(?:[/:?#]\S*)?(?:\s|$)", re.IGNORECASE
)
