"""Leaving by the link in a mail: whose link it is, where they stand, and in which language they are answered."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.accounts.models import User
from campaigns.audience.queries import UserState, find_suppression, state_of
from campaigns.audience.unsubscribe_links import read_unsubscribe_token
from campaigns.extensions import db
from campaigns.languages import LANGUAGES
from campaigns.site import current_site


@dataclass(frozen=True)
class OpenedLink:
    """A link that this site has made. `user` is None when the person has been deleted since."""

    user: User | None

    @property
    def language(self) -> str:
        """The language of the recipient, else the site's, which the mail was written for."""
        own = self.user.language if self.user else None
        return own if own in LANGUAGES else current_site().language

    @property
    def is_subscribed(self) -> bool:
        """Whether there is anything to unsubscribe from."""
        return self.user is not None and self.user.unsubscribed_at is None

    @property
    def is_kept_out(self) -> bool:
        """Whether announcements would not come even without an unsubscription, so that none are promised."""
        if self.user is None:
            return True
        state = state_of(self.user, find_suppression(self.user.address_key))
        return state in {UserState.SUPPRESSED, UserState.UNVERIFIED}


def open_unsubscribe_link(token: str) -> OpenedLink | None:
    """Return what a link leads to, None when this site has not made it; reads only."""
    ids = read_unsubscribe_token(token)
    if ids is None:
        return None
    return OpenedLink(db.session.get(User, ids[0]))
