"""Several mail servers: each gets its share, others take over from one that refuses, all together hold a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.config import load_settings
from campaigns.delivery import rounds
from campaigns.delivery.models import Delivery
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.extensions import db
from campaigns.mail import mail_servers
from campaigns.mail.mail_servers import PAUSES_SECONDS, PROBE_SECONDS, MailServer, ServerHealth, servers
from campaigns.mail.models import OutboxState
from campaigns.mail.services import deliver_mail
from campaigns.mail.smtp import Security, ServerSettings
from tests.delivery.campaigns import launch_and_freeze, queue_single_mail, send_over, send_round
from tests.people import make_users
from tests.smtp_sink import Sink


@pytest.fixture
def other_sink() -> Iterator[Sink]:
    server = Sink()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def use_servers(app: Flask, sink: Sink, other_sink: Sink) -> Callable[..., None]:
    """Let the application send over both sinks, with these weights."""

    def use(weight: int = 1, other_weight: int = 1) -> None:
        first, second = f"smtp://127.0.0.1:{sink.port}", f"smtp://127.0.0.1:{other_sink.port}"
        send_over(app, f"{first}?weight={weight},{second}?weight={other_weight}")

    return use


def recipients(*sinks: Sink) -> list[str]:
    return sorted(mail.recipient for each in sinks for mail in each.mails)


def everybody(count: int) -> list[str]:
    return sorted(f"person{number}@example.com" for number in range(1, count + 1))


@pytest.mark.both_databases
def test_both_servers_get_mail_and_everybody_one(app, sink, other_sink, use_servers, environ):
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], batch_size=10)
    use_servers()
    make_users(200)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert recipients(sink, other_sink) == everybody(200)
    assert sink.mails
    assert other_sink.mails
    row = db.session.scalars(select(Delivery).limit(1)).one()
    assert row.reply.startswith("250 ")
    assert row.reply.endswith((f"[127.0.0.1:{sink.port}]", f"[127.0.0.1:{other_sink.port}]"))


@pytest.mark.both_databases
def test_others_take_over_from_a_server_that_cannot_be_reached(app, sink, other_sink, use_servers):
    use_servers(weight=1000)
    sink.stop()
    make_users(30)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert recipients(other_sink) == everybody(30)
    assert db.session.get(Campaign, campaign_id).trouble is None


@pytest.mark.both_databases
@pytest.mark.parametrize("answer", ["550 5.7.1 Sender not allowed", "451 4.7.1 Sender is being verified"])
def test_others_take_over_from_a_server_that_refuses_the_sender(app, sink, other_sink, use_servers, answer):
    use_servers(weight=1000)
    sink.refuse_sender = answer
    make_users(250)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert recipients(other_sink) == everybody(250)
    totals = campaign_totals(campaign_id)
    assert totals == ledger_totals(campaign_id)
    db.session.expire_all()
    assert {row.attempts for row in db.session.scalars(select(Delivery))} == {1}


def test_a_server_that_dies_in_the_middle_is_replaced(app, sink, other_sink, use_servers):
    use_servers(weight=1000)
    make_users(120)
    sink.content_reply = "421 4.3.2 Going down"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert totals.balances
    assert totals.sent == len(other_sink.mails) >= 110
    assert totals.deferred + totals.sent == 120
    assert db.session.get(Campaign, campaign_id).trouble is None


def test_only_when_all_refuse_the_round_holds_and_goes_on_by_itself(app, sink, other_sink, use_servers):
    use_servers()
    sink.refuse_sender = "550 5.7.1 Sender not allowed"
    other_sink.stop()
    make_users(20)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    campaign = db.session.get(Campaign, campaign_id)
    assert campaign.trouble == "sender_refused", "what a person can mend is said rather than what may pass"
    assert "Sender not allowed" in campaign.trouble_reply
    totals = campaign_totals(campaign_id)
    assert (totals.waiting, totals.balances) == (20, True)
    other_sink.start()
    with freeze(utcnow() + timedelta(minutes=2)):
        assert send_round(campaign_id) is rounds.Progress.DONE
    assert recipients(other_sink) == everybody(20)


@pytest.mark.parametrize("trouble", ["away", "refuses the sender"])
def test_a_single_mail_fails_over_at_once(app, sink, other_sink, use_servers, trouble):
    use_servers(weight=1000)
    if trouble == "away":
        sink.stop()
    else:
        sink.refuse_sender = "550 5.7.1 Sender not allowed"
    assert deliver_mail(queue_single_mail()).state is OutboxState.SENT
    assert recipients(other_sink) == ["kim@example.com"]


def test_a_single_mail_is_tried_again_when_all_refuse(app, sink, other_sink, use_servers):
    use_servers()
    sink.refuse_sender = other_sink.refuse_sender = "550 5.7.1 Sender not allowed"
    delivered = deliver_mail(queue_single_mail())
    assert (delivered.state, delivered.retry_in_seconds) == (OutboxState.WAITING, 5)


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def named(*names: str, weights: tuple[int, ...] = ()) -> list[MailServer]:
    weights = weights or (1,) * len(names)
    return [MailServer(name, weight, ServerSettings()) for name, weight in zip(names, weights, strict=True)]


def first(health: ServerHealth, among: list[MailServer]) -> str:
    return health.order(among)[0].name


def test_servers_get_connections_in_proportion_to_their_weights():
    among, well = named("a", "b", weights=(3, 1)), ServerHealth()
    share = sum(first(well, among) == "a" for _ in range(4000)) / 4000
    assert 0.70 < share < 0.80


def test_a_server_that_refuses_is_left_alone_for_a_growing_pause_and_then_probed_by_one():
    clock, among = Clock(), named("a", "b")
    state = ServerHealth(clock)
    for pause_seconds in (*PAUSES_SECONDS, PAUSES_SECONDS[-1]):
        state.note_refusal("a")
        state.note_refusal("a")  # connections that fail together count once
        clock.now += pause_seconds - 0.1
        assert [server.name for server in state.order(among)] == ["b"]
        clock.now += 0.2
        assert [server.name for server in state.order(among)] == ["a", "b"]
        assert [server.name for server in state.order(among)] == ["b"], "one probe at a time"
    clock.now += PROBE_SECONDS
    assert first(state, among) == "a", "a probe that told nothing is followed by another"
    state.note_success("a")
    assert {first(state, among) for _ in range(100)} == {"a", "b"}


def test_when_none_is_well_all_are_tried():
    state, among = ServerHealth(Clock()), named("a", "b")
    state.note_refusal("b")
    state.note_refusal("a")
    assert sorted(server.name for server in state.order(among)) == ["a", "b"]


def test_without_a_list_the_settings_of_flask_mail_name_the_one_server(tmp_path):
    base = {"INSTANCE_DIR": str(tmp_path), "PUBLIC_BASE_URL": "https://news.example.com"}
    (server,) = servers(load_settings({**base, "MAIL_SERVER": "relay.example.com", "MAIL_USE_SSL": "true"}))
    assert (server.name, server.settings.security) == ("relay.example.com:465", Security.TLS)
    (server,) = servers(load_settings({**base, "MAIL_SERVER": "relay.example.com", "MAIL_USE_TLS": "true"}))
    assert (server.settings.security, server.settings.verify_certificate) == (Security.STARTTLS, True)
    (catcher,) = servers(load_settings(base))
    assert catcher.settings.socket_path.endswith("mail.sock")


def test_an_impatient_site_still_waits_ten_minutes_for_the_answer_to_a_content(tmp_path):
    base = {"INSTANCE_DIR": str(tmp_path), "PUBLIC_BASE_URL": "https://news.example.com", "MAIL_TIMEOUT": "20"}
    (server,) = servers(load_settings({**base, "MAIL_SERVER": "relay.example.com"}))
    waits = server.settings.timeouts
    assert (waits.connect, waits.greeting, waits.command, waits.data_start, waits.data_block) == (20,) * 5
    assert waits.final_dot == 600


def test_every_server_of_the_list_is_reached_as_it_says(tmp_path):
    base = {"INSTANCE_DIR": str(tmp_path), "PUBLIC_BASE_URL": "https://news.example.com", "MAIL_TLS_VERIFY": "false"}
    text = "smtp://me:pass@relay1.example.com:587?tls=starttls&weight=3,smtps://relay2.example.com"
    one, two = mail_servers.servers(load_settings({**base, "MAIL_SERVERS": text}))
    assert (one.weight, one.settings.username, one.settings.password) == (3, "me", "pass")
    assert (one.settings.security, two.settings.security) == (Security.STARTTLS, Security.TLS)
    assert (two.name, two.weight, two.settings.verify_certificate) == ("relay2.example.com:465", 1, False)
