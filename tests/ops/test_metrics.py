"""/metrics: who may read it, and what it says when a part is there, away, or hangs."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.config import load_settings
from campaigns.delivery.models import RateSample
from campaigns.delivery.queries import ledger_totals
from campaigns.delivery.rate_limit import shared_limiter
from campaigns.delivery.rates import Rates
from campaigns.errors import SettingsError
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.metrics import INSTRUMENTS
from campaigns.ops.heartbeats import Kind, record_heartbeat
from campaigns.ops.metrics_campaigns import MOST_NAMED
from campaigns.ops.metrics_processes import read_processes_of_workers
from campaigns.ops.metrics_scrape import FROM_DATABASE
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.ops.scraping import Page
from tests.parts import ROOT, RedisServer, wait_until
from tests.people import make_user, make_users
from tests.stopwatch import Stopwatch

FAR_AWAY = {"REMOTE_ADDR": "192.0.2.7"}
TOKEN = "a token that nobody guesses"
IN_REDIS = frozenset({"queues", "throttles"})


@pytest.fixture
def redis_to_break(redis_server: RedisServer) -> Iterator[RedisServer]:
    yield redis_server
    redis_server.kill()
    redis_server.start()


@pytest.fixture
def hanging_port() -> Iterator[int]:
    """A port on which connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def visit(environ: dict[str, str]) -> Iterator[Callable[..., FlaskClient]]:
    """Return a client of an application with some settings of its own."""
    made: list[Flask] = []

    def make(**extra: str) -> FlaskClient:
        made.append(create_app(load_settings({**environ, **extra})))
        return made[-1].test_client()

    yield make
    for application in made:
        with application.app_context():
            db.engine.dispose()
        application.extensions["celery"].close()


def read_once(client: FlaskClient) -> Page:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return Page(answer.text)


def read(client: FlaskClient, *, away: frozenset[str] = frozenset()) -> Page:
    """Read the page when all is on it but what is away: a busy machine may need longer than one scrape waits."""

    def read_whole() -> Page | None:
        page = read_once(client)
        return page if page.missing() <= away else None

    page: Page = wait_until(read_whole, what="a whole page")
    return page


def test_without_a_token_only_this_machine_may_read(client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_base=FAR_AWAY).status_code == 404
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404


def test_with_a_token_whoever_knows_it_may_read_and_nobody_else(visit: Callable[..., FlaskClient]) -> None:
    client = visit(METRICS_TOKEN=TOKEN)
    for wrong in ("", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer", "Bearer é"):
        headers = {"Authorization": wrong} if wrong else {}
        assert client.get("/metrics", headers=headers).status_code == 404, wrong
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, environ_base=FAR_AWAY)
    assert answer.status_code == 200


def test_the_answer_is_what_prometheus_asks_for_and_sets_no_cookie(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "Set-Cookie" not in answer.headers
    openly = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openly.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert openly.text.endswith("# EOF\n")


def test_a_port_for_other_machines_wants_a_token(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="METRICS_TOKEN: expected a token"):
        load_settings({**environ, "METRICS_PORT": "9108", "METRICS_HOST": "0.0.0.0"})
    load_settings({**environ, "METRICS_PORT": "9108", "METRICS_HOST": "0.0.0.0", "METRICS_TOKEN": TOKEN})


@pytest.mark.both_databases
def test_the_numbers_are_those_of_the_ledger(app: Flask, client: FlaskClient, sink) -> None:
    make_users(20)
    make_user("late@example.com")
    make_user("gone@naver.com")
    sink.refusals |= {"late@example.com": "451 4.3.0 Later", "gone@naver.com": "550 5.1.1 No such user"}
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    page = read(client)
    assert page.is_of(ledger_totals(campaign_id), campaign=str(campaign_id))
    assert page.adds_up()
    assert page.deliveries(str(campaign_id)) | {"sent": 20, "failed": 1, "deferred": 1} == page.deliveries(
        str(campaign_id)
    )
    assert page.sum("carillon_mails_total", kind="campaign", outcome="sent", domain_group="other") == 20
    assert page.sum("carillon_mails_total", kind="campaign", outcome="failed", domain_group="naver") == 1
    assert page.sum("carillon_mails_total", kind="campaign", outcome="deferred") == 1
    assert [page.sum("carillon_smtp_replies_total", reply=reply) for reply in ("2xx", "4xx", "5xx")] == [20, 1, 1]
    assert page.sum("carillon_campaigns", state="sending") == page.sum("carillon_campaigns") == 1


@pytest.mark.both_databases
def test_campaigns_without_end_are_named_up_to_a_bound_and_nobody_is_lost(app: Flask, client: FlaskClient) -> None:
    make_users(2)
    ended = launch_and_freeze()
    db.session.get_one(Campaign, ended).finished_at = utcnow()
    db.session.get_one(Campaign, ended).totals = {"sent": 2}
    db.session.commit()
    running = [launch_and_freeze() for _ in range(MOST_NAMED + 5)]
    page = read(client)
    assert page.labels("carillon_campaign_recipients", "campaign") == {
        *(str(campaign_id) for campaign_id in running[5:]), "rest", "ended"
    }  # fmt: skip
    assert page.deliveries("rest") | {"waiting": 10} == page.deliveries("rest")
    assert page.deliveries("ended") | {"sent": 2} == page.deliveries("ended")
    assert page.sum("carillon_campaign_recipients") == 2 * (MOST_NAMED + 6)
    assert page.adds_up()


def test_paths_that_people_make_up_make_no_new_series(client: FlaskClient) -> None:
    for number in range(20):
        client.get(f"/nothing/{number}")
    page = read(client)
    assert page.sum("carillon_http_request_duration_seconds_count", endpoint="none", status="4xx") == 20
    assert not any("/nothing" in line for line in page.text.splitlines())


@pytest.mark.both_databases
def test_single_mails_have_an_age_from_when_they_should_have_left(app: Flask, client: FlaskClient) -> None:
    expires_at = utcnow() + timedelta(days=9)
    details = {"kind": "verify", "to_address": "kim@example.com", "language": "ko", "expires_at": expires_at}
    queue_mail(**details, send_after=utcnow() + timedelta(days=3))
    db.session.commit()
    page = read(client)
    assert page.sum("carillon_outbox_mails", state="later") == 1
    assert page.sum("carillon_outbox_oldest_seconds") == 0
    queue_mail(**details, send_after=utcnow() - timedelta(seconds=90))
    db.session.commit()
    page = read(client)
    assert page.sum("carillon_outbox_mails", state="due") == 1
    assert 90 <= page.sum("carillon_outbox_oldest_seconds") < 120


@pytest.mark.both_databases
def test_the_rate_stands_beside_its_limits(app: Flask, visit: Callable[..., FlaskClient]) -> None:
    limited = visit(RATE_PER_SECOND="12.5", RATE_PER_DAY="4000", RATE_PER_DOMAIN="gmail.com=3")
    campaign_id = launch_and_freeze()
    now = utcnow().replace(second=35, microsecond=0)
    with freeze(now):
        for seconds, sent in ((5, 900), (15, 100), (65, 500), (75, 7000)):  # the first is still filling, the last over
            start = now - timedelta(seconds=seconds)
            db.session.add(RateSample(campaign_id=campaign_id, window_start=start, sent=sent, failed=0))
        db.session.commit()
        page = read(limited)
    assert page.sum("carillon_send_mails_per_second") == (100 + 500) / 60
    assert page.sum("carillon_sent_last_24h_mails") == 8500
    assert page.sum("carillon_send_limit_mails_per_second") == 12.5
    assert page.sum("carillon_send_limit_24h_mails") == 4000
    assert page.sum("carillon_domain_limit_mails_per_second", domain="gmail.com") == 3


def test_a_domain_that_asked_to_slow_down_is_counted_by_its_group(app: Flask, client: FlaskClient) -> None:
    for domain in ("hanmail.net", "kakao.com", "example.com"):
        shared_limiter().slow_down(Rates(), domain)
    page = read(client)
    assert page.sum("carillon_throttled_domains", domain_group="kakao") == 2
    assert page.sum("carillon_throttled_domains", domain_group="other") == 1
    assert page.sum("carillon_throttled_domains", domain_group="gmail") == 0


def test_workers_and_the_timer_are_counted_by_their_heartbeats(app: Flask, client: FlaskClient) -> None:
    record_heartbeat("a:1:work", kind=Kind.WORKER, lanes="mail.now,work")
    record_heartbeat("a:2:work", kind=Kind.WORKER, lanes="work")
    record_heartbeat("a:3:beat", kind=Kind.BEAT)
    record_heartbeat("tick", kind=Kind.TICK)
    with freeze(utcnow() + timedelta(seconds=20)):
        page = read(client)
    assert page.sum("carillon_workers", lane="work") == 2
    assert page.sum("carillon_workers", lane="mail.bulk") == 0
    assert page.sum("carillon_beats") == 1
    assert 20 <= page.sum("carillon_beat_tick_age_seconds") < 30


def test_with_the_database_away_the_rest_is_answered(visit: Callable[..., FlaskClient]) -> None:
    client = visit(DATABASE_URL="postgresql://u@127.0.0.1:1/none")
    page = read(client, away=FROM_DATABASE)
    assert page.missing() == FROM_DATABASE
    assert "carillon_campaign_recipients" not in page.text
    assert page.labels("carillon_queue_messages", "lane") == {"mail.now", "mail.bulk", "work"}


def test_a_database_that_hangs_costs_less_than_two_seconds_each_time(
    visit: Callable[..., FlaskClient], hanging_port: int
) -> None:
    client = visit(DATABASE_URL=f"postgresql://u@127.0.0.1:{hanging_port}/none")
    for _ in range(3):
        stopwatch = Stopwatch()
        page = read_once(client)
        assert stopwatch.seconds < 2
        assert not page.is_ok("campaigns")
    assert read(client, away=FROM_DATABASE).is_ok("queues")


def test_with_redis_away_the_equation_is_still_told(
    app: Flask, client: FlaskClient, redis_to_break: RedisServer
) -> None:
    redis_to_break.kill()
    page = read(client, away=IN_REDIS)
    assert page.missing() == IN_REDIS
    assert "carillon_campaigns{" in page.text


def test_a_redis_that_hangs_costs_less_than_two_seconds(
    app: Flask, client: FlaskClient, redis_to_break: RedisServer
) -> None:
    redis_to_break.signal(signal.SIGSTOP)
    try:
        stopwatch = Stopwatch()
        assert not read_once(client).is_ok("queues")
        assert stopwatch.seconds < 2
        assert read(client, away=IN_REDIS).is_ok("campaigns")
    finally:
        redis_to_break.signal(signal.SIGCONT)


def test_the_list_of_metrics_is_complete(app: Flask, client: FlaskClient) -> None:
    of_workers = {each.name: each for each in read_processes_of_workers()}
    exported = {
        **of_workers,
        **read(client).families,
        **{each.name: each for i in INSTRUMENTS for each in i.describe()},
    }
    told = {
        (name.removesuffix("_total"), kind, words)
        for name, kind, words in re.findall(
            r"^\| `(carillon_\w+)`[^|]*\| (\w+) \| (.+) \|$",
            (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    }
    assert told == {(name, family.type, family.documentation) for name, family in exported.items()}
