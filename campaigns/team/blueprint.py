"""The blueprint that the team's pages hang on, and what they share."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from campaigns.celery import enqueue
from campaigns.mail.tasks import send_mail
from campaigns.role_words import role_word

bp = Blueprint("team", __name__)


@bp.context_processor
def words() -> dict[str, Any]:
    """Return what the templates of the team say roles with."""
    return {"role_word": role_word}


def send(mail_id: int) -> None:
    """Start the task that sends a mail of the outbox; should the queue be away, the sweep sends it."""
    enqueue(send_mail, mail_id)


def go_to(endpoint: str, **values: Any) -> Response:
    """Redirect after something was done."""
    return redirect(url_for(f"team.{endpoint}", **values), code=303)
