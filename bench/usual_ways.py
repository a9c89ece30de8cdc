"""The usual ways to send a mass mail with Flask, Flask-Mail and Celery, as a small application of its own.

`celery -A bench.usual_ways worker` runs it. The tasks are what tutorials show: one mail per task over a connection of
its own, and batches over one connection each, counted by a chord. No ledger: nobody knows who got what.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, render_template
from flask_mail import Mail, Message
from itsdangerous import URLSafeSerializer
from jinja2 import DictLoader

from bench.content import BASE_URL, HTML, SENDER, SENDER_NAME, SUBJECT, TEXT

flask_app = Flask(__name__)
flask_app.config.from_mapping(
    MAIL_SERVER="127.0.0.1",
    MAIL_PORT=int(os.environ.get("BENCH_MAIL_PORT", "25")),
    MAIL_DEFAULT_SENDER=(SENDER_NAME, SENDER),
)
flask_app.jinja_loader = DictLoader({"subject.txt": SUBJECT, "mail.txt": TEXT, "mail.html": HTML})
mail = Mail(flask_app)
links = URLSafeSerializer("a key for measuring only", salt="unsubscribe")

broker = os.environ.get("BENCH_BROKER", "")
celery = Celery("usual_ways", broker=broker, backend=broker)


@celery.task(name="usual.send_mail", ignore_result=True)
def send_mail(person: dict[str, Any]) -> None:
    """Send one mail over a connection of its own."""
    with flask_app.app_context():
        mail.send(make_message(person))


@celery.task(name="usual.send_batch")
def send_batch(people: list[dict[str, Any]]) -> int:
    """Send a batch over one connection."""
    with flask_app.app_context(), mail.connect() as connection:
        for person in people:
            connection.send(make_message(person))
    return len(people)


@celery.task(name="usual.add_up")
def add_up(counts: list[int]) -> int:
    """The chord's callback: how many were sent."""
    return sum(counts)


def make_message(person: dict[str, Any]) -> Message:
    """Return one person's mail."""
    link = f"{BASE_URL}/u/{links.dumps(person['id'])}"
    fields = {**person, "unsubscribe_url": link}
    return Message(
        subject=render_template("subject.txt", **fields),
        recipients=[person["email"]],
        body=render_template("mail.txt", **fields),
        html=render_template("mail.html", **fields),
        extra_headers={"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    )


def make_people(count: int) -> list[dict[str, Any]]:
    """Return people who do not exist, alike those of Carillon's measures."""
    return [
        {"id": i, "email": f"person{i}@example.com", "name": f"김하늘 {i}", "city": "서울", "plan": "basic"}
        for i in range(1, count + 1)
    ]
