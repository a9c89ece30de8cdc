"""Where the tracked links of this site's mails lead."""

from __future__ import annotations

from campaigns.compose.tracked_links import Tracking
from campaigns.links import around_token


def tracking_of(*, opens: bool, clicks: bool) -> Tracking | None:
    """Return what the mails of a campaign tell of, and where; None when nothing."""
    if not opens and not clicks:
        return None
    before_token, after_token = around_token("tracking.follow_link", number=0)
    return Tracking(
        link_address=(before_token, after_token.removesuffix("0")) if clicks else None,
        picture_address=around_token("tracking.opening_picture") if opens else None,
        recipients_pages=around_token("audience.unsubscribe")[0].removesuffix("u/"),
    )
