"""The way out that every announcement carries.

A GET changes nothing: mail scanners open every link. A POST unsubscribes, from the button or from a mail program
(RFC 8058 §3.1): it comes without cookies, session or token of a form, in any encoding, and gets 200 without a
redirect. The body is not read; the address says everything.
"""

from __future__ import annotations

from flask import flash, redirect, render_template, request, url_for
from flask_babel import force_locale
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from campaigns.accounts.services import choose_announcements
from campaigns.audience.blueprint import bp
from campaigns.audience.unsubscribing import OpenedLink, open_unsubscribe_link
from campaigns.languages import LANGUAGE_COOKIE, LANGUAGES
from campaigns.security import public
from campaigns.site import default_sender
from campaigns.web_extensions import csrf

Page = str | tuple[str, int] | Response


@bp.route("/p/u/<token>", methods=["GET", "POST"])
@csrf.exempt  # type: ignore[untyped-decorator]
@public
def unsubscribe(token: str) -> Page:
    """Ask whether to unsubscribe, or do it."""
    link = open_unsubscribe_link(token)
    if link and link.user and request.method == "POST":
        choose_announcements(link.user.id, wanted=False)
        link = open_unsubscribe_link(token)
    if link is None:
        return _unknown_link()
    with force_locale(_language(link)):
        return render_template(
            "audience/unsubscribe.html",
            link=link,
            token=token,
            is_new=request.method == "POST",
            sender=default_sender(),
        )


@bp.post("/p/u/<token>/again")
@public
def subscribe_again(token: str) -> Page:
    """Take the unsubscription back."""
    link = open_unsubscribe_link(token)
    if link is None:
        return _unknown_link()
    with force_locale(_language(link)):
        if link.user:
            choose_announcements(link.user.id, wanted=True)
            flash(*_welcome(link))
    return redirect(url_for("audience.unsubscribe", token=token), code=303)


def _welcome(link: OpenedLink) -> tuple[str, str]:
    if link.is_kept_out:
        return _("We have noted that you want announcements. Write to the sender if none come."), "info"
    return _("You will get announcements again."), "ok"


def _unknown_link() -> tuple[str, int]:
    return render_template("audience/unsubscribe_unknown.html", sender=default_sender()), 404


def _language(link: OpenedLink) -> str:
    """Return the language that was chosen with the switch in this browser, else the recipient's."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return str(chosen) if chosen in LANGUAGES else link.language
