"""The blueprint that the account pages hang on, and what they share."""

from __future__ import annotations

from flask import Blueprint, redirect, request, session, url_for
from flask_login import login_user
from werkzeug.wrappers import Response

from campaigns.accounts.account_links import LinkState
from campaigns.accounts.limits import HALF_LOGIN
from campaigns.accounts.logins import Visitor
from campaigns.accounts.models import User
from campaigns.celery import enqueue
from campaigns.mail.tasks import send_mail
from campaigns.remote_address import client_address

bp = Blueprint("accounts", __name__)

# What a page about a link answers with: used up is no fault of the visitor's.
LINK_STATUS = {LinkState.READY: 200, LinkState.USED: 200, LinkState.EXPIRED: 410, LinkState.UNKNOWN: 404}


def this_visitor() -> Visitor:
    """Return where this request comes from."""
    return Visitor(ip_address=client_address(), device=request.user_agent.string)


def start_session(user: User, *, remember: bool) -> None:
    """Give this browser the log-in that was just begun, and nothing of the session it had before."""
    session.clear()
    session.permanent = remember
    login_user(user)


def start_half_session(user: User) -> None:
    """Give this browser the log-in that waits for a code, and nothing of the session it had before."""
    session.clear()
    session[HALF_LOGIN] = [user.id, user.login_token]


def half_login_token() -> str:
    """Return the secret of the log-in that waits for a code in this browser, "" for none."""
    return str(session.get(HALF_LOGIN, [0, ""])[1])


def send(mail_id: int) -> None:
    """Start the task that sends a mail of the outbox; should the queue be away, the sweep sends it."""
    enqueue(send_mail, mail_id)


def go_to(endpoint: str) -> Response:
    """Redirect after something was done."""
    return redirect(url_for(f"accounts.{endpoint}"), code=303)
