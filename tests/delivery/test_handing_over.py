"""A content handed over, with DATA or BDAT: marked on disk before it leaves, and never sent again by itself."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.config import current_settings
from campaigns.delivery import rounds
from campaigns.delivery.models import Delivery
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.extensions import db
from campaigns.mail.mail_servers import health
from campaigns.mail.models import OutboxState
from campaigns.mail.services import deliver_mail
from tests.delivery.campaigns import launch_and_freeze, queue_single_mail, send_over, send_round
from tests.mail.scripted_server import HANG_UP, ScriptedServer
from tests.people import make_users

STEPS = {"DATA": "dot", "BDAT": "bdat"}


@pytest.fixture(params=["DATA", "BDAT"])
def command(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["pipelined", "plain"])
def server(app: Flask, command: str, request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    """The application's mail server, which offers both ways; the address says which is used."""
    pipelining = ["PIPELINING"] if request.param == "pipelined" else []
    with ScriptedServer(offers=[*pipelining, "CHUNKING", "SIZE 1000000"]) as scripted:
        address = f"smtp://127.0.0.1:{scripted.port}?chunking={'yes' if command == 'BDAT' else 'no'}"
        send_over(app, address)
        yield scripted


def states_of(campaign_id: int) -> list[str]:
    db.session.expire_all()
    query = select(Delivery.state).where(Delivery.campaign_id == campaign_id).order_by(Delivery.position)
    return list(db.session.scalars(query))


def told(server: ScriptedServer, verb: str) -> int:
    return sum(line.startswith(verb) for line in server.commands)


def test_every_mail_is_on_disk_as_handed_over_before_its_content_arrives(app, server, command) -> None:
    """Read when the content has come: a kill at any octet of it finds the mark."""
    marked: list[tuple[set[int], set[int]]] = []
    folder = current_settings().journal_dir

    def look(talk) -> str:
        text = "".join(path.read_text() for path in folder.glob("*.journal"))
        handed_over, answered = ({int(n) for n in re.findall(rf"^{kind}\t(\d+)", text, re.MULTILINE)} for kind in "HA")
        marked.append((handed_over, answered))
        return "250 2.0.0 queued"

    server.answers[STEPS[command]] = look
    make_users(5)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert marked == [(set(range(1, n + 1)), set(range(1, n))) for n in range(1, 6)]
    assert told(server, command) == 5
    assert told(server, "DATA" if command == "BDAT" else "BDAT") == 0


def test_the_connection_lost_after_the_content_leaves_one_uncertain_who_gets_nothing_more(app, server, command) -> None:
    server.answers[STEPS[command]] = ["250 2.0.0 queued", HANG_UP, "250 2.0.0 queued"]
    make_users(5)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert states_of(campaign_id) == ["sent", "uncertain", "sent", "sent", "sent"]
    with freeze(utcnow() + timedelta(hours=1)):
        send_round(campaign_id)
    assert told(server, command) == 5
    totals = campaign_totals(campaign_id)
    assert (totals.uncertain, totals.balances) == (1, True)
    assert totals == ledger_totals(campaign_id)


MISCHIEF = {
    "garbage": b"\x00\xff garbage\r\n",
    "half an answer": b"250 2.0.0 que",
    "an endless line": b"250 " + b"x" * 10_000_000,
    "endless lines": b"250-and so on\r\n" * 500_000,
    "one answer too many": b"250 2.0.0 queued\r\n250 2.0.0 queued\r\n",
}


@pytest.mark.parametrize("mischief", MISCHIEF)
def test_a_server_that_goes_mad_for_a_mail_loses_and_doubles_nobody(app, server, command, mischief) -> None:
    """It keeps the second mail, and what it says to that is no answer, or more than one."""

    def go_mad(talk) -> str:
        with contextlib.suppress(OSError):
            talk.sock.sendall(MISCHIEF[mischief])
        return HANG_UP

    server.answers[STEPS[command]] = ["250 2.0.0 queued", go_mad, "250 2.0.0 queued"]
    make_users(5)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    with freeze(utcnow() + timedelta(hours=1)):
        assert send_round(campaign_id) is rounds.Progress.DONE
    was_answered = mischief == "one answer too many"
    assert states_of(campaign_id) == ["sent", "sent" if was_answered else "uncertain", "sent", "sent", "sent"]
    assert told(server, command) == 5
    assert len({recipient for mail in server.mails for recipient in mail.recipients}) == 5
    assert campaign_totals(campaign_id) == ledger_totals(campaign_id)


@pytest.mark.parametrize("server", ["pipelined"], indirect=True)
def test_refused_recipients_and_contents_touch_nobody_else(app, server, command) -> None:
    server.answers["rcpt"] = ["250 ok", "550 5.1.1 Unknown user", "250 ok"]
    server.answers[STEPS[command]] = lambda talk: (
        "554 5.6.0 No" if "person3@example.com" in talk.recipients else "250 ok"
    )
    make_users(6)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert states_of(campaign_id) == ["sent", "failed", "failed", "sent", "sent", "sent"]
    assert server.connections == 1


@pytest.mark.parametrize("server", ["pipelined"], indirect=True)
@pytest.mark.parametrize("command", ["BDAT"], indirect=True)
def test_a_server_that_does_not_know_bdat_after_all_holds_the_round_with_its_words(app, server) -> None:
    server.answers["bdat"] = "502 5.5.1 BDAT is not implemented"
    make_users(3)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.waiting, totals.failed, totals.uncertain, totals.balances) == (3, 0, 0, True)
    campaign = db.session.get_one(Campaign, campaign_id)
    assert (campaign.trouble, campaign.trouble_reply.startswith("502 ")) == ("protocol_error", True)
    assert {row.attempts for row in db.session.scalars(select(Delivery))} == {0}


def test_each_server_gets_contents_its_own_way_and_one_that_does_not_know_it_is_replaced(app) -> None:
    health.forget()
    with (
        ScriptedServer(offers=["CHUNKING"], bdat="502 5.5.1 What?") as bad,
        ScriptedServer(offers=["CHUNKING"]) as good,
    ):
        send_over(app, f"smtp://127.0.0.1:{bad.port}?chunking=yes&weight=1000,smtp://127.0.0.1:{good.port}")
        make_users(10)
        campaign_id = launch_and_freeze()
        assert send_round(campaign_id) is rounds.Progress.DONE
        assert states_of(campaign_id) == ["sent"] * 10
        assert (told(bad, "BDAT"), told(good, "BDAT"), told(good, "DATA")) == (1, 0, 10)
    health.forget()


@pytest.mark.parametrize("server", ["plain"], indirect=True)
def test_a_single_mail_whose_answer_was_lost_comes_again_under_the_same_message_id(app, server, command) -> None:
    server.answers[STEPS[command]] = [HANG_UP, "250 2.0.0 queued"]
    mail_id = queue_single_mail()
    assert deliver_mail(mail_id).state is OutboxState.WAITING
    with freeze(utcnow() + timedelta(minutes=5)):
        assert deliver_mail(mail_id).state is OutboxState.SENT
    ids = [re.search(rb"^Message-ID: (.+)\r$", mail.content, re.MULTILINE) for mail in server.mails]
    assert len(ids) == 2
    assert ids[0].group(1) == ids[1].group(1)
