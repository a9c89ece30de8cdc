"""What a bounce will say it is about: each mail goes out under an id that leads back to its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.mail.scripted_server import ScriptedServer
from tests.pages import submit
from tests.people import make_user, make_users


@pytest.fixture
def sink() -> Iterator[ScriptedServer]:
    """A mail server that offers notifications, in the place of the usual one."""
    with ScriptedServer(offers=["DSN", "PIPELINING"]) as server:
        server.port = server.settings().port
        yield server


def test_a_campaigns_mail_carries_its_place_in_the_ledger(app: Flask, sink: ScriptedServer) -> None:
    make_users(3)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    ids = [line.partition(" ENVID=")[2] for line in sink.commands if line.startswith("MAIL")]
    assert ids == [f"c{campaign_id}-{position}" for position in (1, 2, 3)]


def test_a_single_mail_carries_its_number(
    app: Flask, client: FlaskClient, sink: ScriptedServer, run_queued: Callable[..., list[str]]
) -> None:
    make_user("ada@example.com", role="owner", password=True)
    submit(client, "/password/forgot", {"email": "ada@example.com"})
    run_queued("mail.now")
    mail = db.session.scalars(select(OutboxMail)).one()
    (command,) = [line for line in sink.commands if line.startswith("MAIL")]
    assert command.endswith(f" RET=HDRS ENVID=m{mail.id}")
