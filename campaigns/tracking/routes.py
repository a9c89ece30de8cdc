"""The addresses that mails lead to. Anybody may ask for them, at any time; a GET answers first and is counted after.

Nothing here may keep a person from where they wanted to go: no log-in, no limit, no wait for the counting.
"""

from __future__ import annotations

from typing import Final

from flask import Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from campaigns.clock import utcnow
from campaigns.delivery.tracking_tokens import MailKey, read_tracking_token
from campaigns.security import public
from campaigns.site import default_sender
from campaigns.tracking.blueprint import bp, link_targets, visit_counter
from campaigns.tracking.models import OPENING
from campaigns.tracking.visits import Visit, comes_ahead

__all__ = ["bp"]

# One transparent pixel.
PICTURE: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")


@bp.get("/c/<token>/<int:number>")
@public
def follow_link(token: str, number: int) -> AnyResponse | tuple[str, int]:
    """Lead on to a link's target; anything but a whole link of ours gets a page that says so."""
    mail = read_tracking_token(token)
    target = link_targets().find(mail.campaign_id, number) if mail else None
    if mail is None or target is None:
        return render_template("tracking/unknown_link.html", sender=default_sender()), 404
    return _counted(redirect(target, code=302, Response=Response), mail, number)


@bp.get("/o/<token>.gif")
@public
def opening_picture(token: str) -> AnyResponse:
    """Answer with the picture that a mail program loads when the mail is opened."""
    mail = read_tracking_token(token)
    response = Response(PICTURE, status=200 if mail else 404, mimetype="image/gif")
    return _counted(response, mail, OPENING) if mail else response


def _counted(response: AnyResponse, mail: MailKey, link: int) -> AnyResponse:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Cache-Control"] = "no-store"
    if request.method == "GET":
        visit = Visit(mail, link, utcnow(), is_ahead=comes_ahead(request.headers))
        visit_counter().count_after(response, visit)  # type: ignore[arg-type]
    return response
