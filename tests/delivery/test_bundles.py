"""A run over several connections: as many as its mails are worth, none held up by another, nobody lost with one."""

from __future__ import annotations

import re
import select
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from campaigns.accounts.models import User
from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.config import current_settings
from campaigns.delivery import connections, leases, rounds, sending
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.extensions import db
from campaigns.mail.mail_servers import health
from tests.delivery.campaigns import launch_and_freeze, send_over, send_round
from tests.mail.scripted_server import DEFAULTS, HANG_UP, ScriptedServer, Talk
from tests.mail.ways import Way
from tests.parts import wait_for_openers, wait_until
from tests.people import make_users

OFFERS = {"pipelined": ["PIPELINING"], "plain": [], "chunked": ["PIPELINING", "CHUNKING"]}
MOST = 3  # connections


@pytest.fixture
def offers() -> list[str]:
    return ["PIPELINING"]


@pytest.fixture
def way(app: Flask, offers: list[str]) -> Iterator[Way]:
    """The application's mail server, to which it may have three connections at once."""
    with ScriptedServer(offers=[*offers, "SIZE 1000000"]) as server:
        is_chunked = "CHUNKING" in offers
        query = "?chunking=yes" if is_chunked else ""
        send_over(app, f"smtp://127.0.0.1:{server.port}{query}", bulk_connections=MOST)
        yield Way(server, {"use_chunking": True} if is_chunked else {})
        wait_for_openers()


in_every_way = pytest.mark.parametrize("offers", OFFERS.values(), ids=OFFERS)


def change_settings(app: Flask, **values: Any) -> None:
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], **values)


def openers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "open-connection"]


def all_open(way: Way, count: int = MOST) -> Any:
    """Return an answer that waits until so many connections are there and nobody opens one any more."""
    return lambda _: wait_until(lambda: way.server.connections >= count and not openers()) and "250 2.0.0 queued"


def states_of(campaign_id: int) -> Counter[str]:
    """How many recipients are in which state, after a look at whether everything adds up."""
    db.session.rollback()
    totals = campaign_totals(campaign_id)
    assert totals.balances
    assert totals == ledger_totals(campaign_id)
    own = Delivery.campaign_id == campaign_id, Delivery.state != DeliveryState.EXCLUDED
    return Counter(db.session.scalars(sa.select(Delivery.state).where(*own)))


def send_to(way: Way, people: int = 0) -> tuple[int, rounds.Progress]:
    """Send a new campaign to everybody, after so many have joined, in one round; what came before is forgotten."""
    if people:
        make_users(people)
    way.server.mails.clear()
    campaign_id = launch_and_freeze()
    return campaign_id, send_round(campaign_id)


def assert_all_sent(way: Way, campaign_id: int, people: int) -> None:
    assert states_of(campaign_id) == {"sent": people}
    assert db.session.get_one(Campaign, campaign_id).trouble is None
    assert len(way.server.accepted) == len(set(way.server.accepted)) == people
    # Who took the answers of one mail for another's would have sent somebody's content to somebody else.
    assert all(f"To: {mail.recipients[0]}\r\n".encode() in mail.content for mail in way.server.mails if mail.accepted)


@in_every_way
def test_a_run_is_widened_to_what_it_may_use_and_all_of_it_is_used(way: Way) -> None:
    way.script(0, "content", lambda _: wait_until(lambda: way.over(1) and way.over(2)) and "250 2.0.0 queued")
    campaign_id, progress = send_to(way, 120)
    assert progress is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 120)
    assert way.server.connections == MOST


@pytest.mark.parametrize(("people", "wanted"), [(10, 1), (11, 2), (300, 3)])
def test_there_are_no_more_connections_than_the_mails_are_worth(way: Way, people: int, wanted: int) -> None:
    way.script(0, "content", all_open(way, wanted))
    campaign_id, _ = send_to(way, people)
    assert_all_sent(way, campaign_id, people)
    assert way.server.connections == wanted


def test_connections_lie_idle_after_a_run_and_the_next_uses_them_unasked(way: Way) -> None:
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    campaign_id, _ = send_to(way)
    assert_all_sent(way, campaign_id, 60)
    assert way.server.connections == MOST
    assert "NOOP" not in way.server.commands


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds more have passed for whoever keeps connections."""
    seconds = [0.0]
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + seconds[0]))
    return seconds


def test_connections_that_lay_idle_for_longer_are_asked_first(way: Way, passed: list[float]) -> None:
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    passed[0] = connections.TRUSTED_SECONDS
    campaign_id, _ = send_to(way)
    wait_for_openers()
    assert_all_sent(way, campaign_id, 60)
    assert way.server.connections == MOST
    assert way.server.commands.count("NOOP") == MOST


def test_connections_that_lay_idle_for_very_long_are_closed(way: Way, passed: list[float]) -> None:
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    passed[0] = connections.MAX_IDLE_SECONDS + 1
    campaign_id, _ = send_to(way)
    assert_all_sent(way, campaign_id, 60)
    wait_until(lambda: all(talk.sock.fileno() < 0 for talk in way.server.talks[:MOST]), what="the old to be closed")
    assert way.server.connections > MOST


def hang_up_on_all(server: ScriptedServer) -> None:
    """Close all connections, as a server does that wants no idle ones."""
    for talk in server.talks:
        talk.hear_no_more()
    for thread in server.threads[1:]:
        thread.join(60)


@in_every_way
@pytest.mark.parametrize("people", [5, 60])
def test_a_server_that_closes_idle_connections_refuses_nobody(way: Way, people: int) -> None:
    """Each batch finds connections that were in use a moment ago and are closed."""
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    db.session.execute(sa.update(User).values(unsubscribed_at=utcnow()).where(User.id > people))
    db.session.commit()
    for _ in range(3):
        wait_for_openers()
        hang_up_on_all(way.server)
        campaign_id, progress = send_to(way)
        assert progress is rounds.Progress.DONE
        assert_all_sent(way, campaign_id, people)
        assert health.is_well(f"127.0.0.1:{way.server.port}")


@in_every_way
def test_connections_closed_behind_our_back_cost_nobody_and_blame_nobody(way: Way, passed: list[float]) -> None:
    """The server hangs up on each idle connection only when it is used."""
    for number in range(MOST):
        way.script(number, "mail", *[None] * 60)
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    db.session.execute(sa.update(User).values(unsubscribed_at=utcnow()).where(User.id > 5))
    db.session.commit()
    for number in range(MOST):
        way.script(number, "mail", HANG_UP)
        way.script(number, "noop", HANG_UP)
    campaign_id, progress = send_to(way)
    assert progress is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 5)
    assert health.is_well(f"127.0.0.1:{way.server.port}")


def test_connections_that_may_send_no_more_by_now_are_not_used(app: Flask, way: Way) -> None:
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    most = min(Counter(number for number, _ in way.came).values())
    change_settings(app, mail_max_emails=most)
    campaign_id, progress = send_to(way)
    assert progress is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 60)
    assert max(Counter(number for number, _ in way.came[60:]).values()) <= most
    assert {number for number, _ in way.came[60:]}.isdisjoint(range(MOST))


@in_every_way
def test_one_more_connection_refused_is_no_trouble_and_not_asked_for_again_at_once(
    way: Way, passed: list[float]
) -> None:
    way.script(0, "content", all_open(way))
    for number in range(1, 100):
        way.script(number, "greeting", "421 4.7.0 Too many connections")
    campaign_id, _ = send_to(way, 100)
    assert_all_sent(way, campaign_id, 100)
    asked = way.server.connections
    assert asked == MOST
    assert health.is_well(f"127.0.0.1:{way.server.port}")
    send_to(way)
    wait_for_openers()
    assert way.server.connections == asked
    passed[0] = connections.NO_MORE_SECONDS
    send_to(way)
    wait_for_openers()
    assert way.server.connections == asked + MOST - 1


@in_every_way
def test_a_process_that_gets_no_more_threads_sends_over_what_it_has(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def start_no_opener(thread: threading.Thread) -> None:
        if thread.name == "open-connection":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_no_opener)
    campaign_id, progress = send_to(way, 60)
    assert progress is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 60)
    assert (way.server.connections, health.is_well(f"127.0.0.1:{way.server.port}")) == (1, True)


def test_a_connection_that_is_there_too_late_is_kept_for_the_next_run(way: Way) -> None:
    go_on = threading.Event()
    way.script(1, "greeting", lambda _: go_on.wait(60) and "220 at last")
    campaign_id, _ = send_to(way, 20)
    assert states_of(campaign_id) == {"sent": 20}
    assert way.server.connections == 2
    go_on.set()
    wait_for_openers()
    way.script(0, "content", lambda _: wait_until(lambda: way.over(1)) and "250 2.0.0 queued")
    way.script(1, "content", lambda _: wait_until(lambda: len(way.over(0)) > 20) and "250 2.0.0 queued")
    campaign_id, _ = send_to(way)
    assert_all_sent(way, campaign_id, 20)
    assert way.server.connections == 2


@in_every_way
def test_one_that_does_not_answer_holds_up_none_of_the_window_and_costs_one(way: Way) -> None:
    way.script(0, "content", all_open(way))
    ahead = 2 if "PIPELINING" in way.server.offers else 1  # it may hold the next mail, whose commands went ahead
    way.script(1, "content", lambda _: wait_until(lambda: len(way.came) > 100 - ahead) and HANG_UP)
    campaign_id, progress = send_to(way, 100)
    assert progress is rounds.Progress.DONE
    assert states_of(campaign_id) == {"sent": 99, "uncertain": 1}
    assert max(Counter(way.server.accepted).values()) == 1


LOSSES = {"hangs up": HANG_UP, "closes": "421 4.3.2 closing", "talks nonsense": "what is this"}


@in_every_way
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "content"])
def test_a_connection_lost_at_a_step_costs_at_most_the_one_whose_content_had_left(
    way: Way, step: str, loss: str
) -> None:
    if step not in way.steps:
        return
    way.script(0, "content", lambda _: wait_until(lambda: not is_there(way.server.talks[1:2])) and "250 queued")
    way.script(1, step, {"data": "354 go"}.get(step, "250 ok"), LOSSES[loss])
    campaign_id, _ = send_to(way, 100)
    states = states_of(campaign_id)
    if step != "content":
        assert states == {"sent": 100}
    else:
        assert states == {"sent": 99, "deferred" if loss == "closes" else "uncertain": 1}
    assert max(Counter(way.server.accepted).values()) == 1
    assert db.session.get_one(Campaign, campaign_id).trouble is None


def is_there(talks: list[Talk]) -> bool:
    """Tell whether a connection has yet to come or goes on."""
    return not talks or talks[0].sock.fileno() >= 0


@in_every_way
def test_a_kill_at_any_content_would_find_one_unknown_for_each_connection_at_most(way: Way) -> None:
    """Read on disk when a content has come; everyone who got one is marked there."""
    folder, found, unmarked = current_settings().journal_dir, [], []

    def look(talk: Talk) -> str:
        text = "".join(path.read_text() for path in folder.glob("*.journal"))
        handed_over, answered = ({int(n) for n in re.findall(rf"^{kind}\t(\d+)", text, re.MULTILINE)} for kind in "HA")
        found.append(len(handed_over - answered))
        position = int(re.findall(r"\d+", talk.recipients[0])[0])
        unmarked.extend({position} - handed_over)
        return "250 2.0.0 queued"

    way.script(0, "content", lambda _: wait_until(lambda: way.over(1) and way.over(2)) and "250 ok", *[look] * 200)
    for number in range(1, MOST):
        way.script(number, "content", *[look] * 200)
    campaign_id, _ = send_to(way, 200)
    assert_all_sent(way, campaign_id, 200)
    assert unmarked == []
    assert 1 < max(found) <= MOST


@in_every_way
def test_an_error_in_mid_run_leaves_no_connection_to_anybody_in_mid_dialogue(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two contents are not answered yet when the run breaks: whoever got these connections would get their answers."""

    def answer_when_more_comes(talk: Talk) -> str:
        select.select([talk.sock], [], [], 60)
        return "550 5.7.1 Not you"

    way.script(0, "content", lambda _: wait_until(lambda: way.over(1) and way.over(2)) and "250 2.0.0 queued")
    for number in (1, 2):
        way.script(number, "content", answer_when_more_comes)
    make_users(40)
    campaign_id = launch_and_freeze()
    with monkeypatch.context() as patch:
        patch.setattr(sending, "settlement_of", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError) as broken:
            sending.send_batch(campaign_id, 1)
    campaign_id, progress = send_to(way)
    assert progress is rounds.Progress.DONE
    assert states_of(campaign_id) == {"sent": 40}
    assert broken.value  # with everything that it still holds


@in_every_way
def test_a_lease_that_is_over_lets_nothing_more_leave_and_what_has_left_is_told(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One content has left when the time is up, and is answered when the others have been given up.

    Those have a mail by then that lacks only its content: a connection that joins later gets none, and stays open.
    """
    seconds, everybody, is_over = count(0, 0), threading.Barrier(MOST), threading.Event()

    def answer(_: Talk) -> str:
        nonlocal seconds
        everybody.wait(60)
        seconds = count(1_000_000, 1_000_000)
        is_over.set()
        wait_until(lambda: not any(map(is_there, ([talk] for talk in way.server.talks[1:]))))
        return "250 2.0.0 queued"

    def let_go_ahead(_: Talk) -> str:
        everybody.wait(60)
        is_over.wait(60)
        return DEFAULTS[way.last_before_content]

    way.script(0, "content", answer)
    for number in range(1, MOST):
        way.script(number, way.last_before_content, let_go_ahead)
    make_users(100)
    campaign_id = launch_and_freeze()
    with monkeypatch.context() as patch:
        patch.setattr(leases, "steady_seconds", lambda: time.monotonic() + next(seconds))
        assert sending.send_batch(campaign_id, 1).ended == "lease_lost"
    assert len(way.server.mails) == 1
    assert states_of(campaign_id) == {"sent": 1, "waiting": 99}
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 100)


def test_runs_side_by_side_never_share_a_connection_at_the_same_time(app: Flask, way: Way) -> None:
    change_settings(app, batch_size=20)
    make_users(600)
    campaign_id = launch_and_freeze()
    assert send_round_in_threads(app, campaign_id, threads=3) is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 600)
    assert {row.attempts for row in db.session.scalars(sa.select(Delivery))} == {1}
    assert way.server.connections <= 3 * 2, "two for twenty mails"


@in_every_way
def test_a_sender_refused_over_one_connection_holds_the_round_and_what_has_left_is_told(way: Way) -> None:
    refused = threading.Event()
    way.script(0, "content", lambda _: refused.wait(60) and "250 2.0.0 queued")
    way.script(1, "mail", lambda _: refused.set() or "550 5.7.1 Not you")
    campaign_id, _ = send_to(way, 100)
    states = states_of(campaign_id)
    assert set(states) == {"sent", "waiting"}
    assert states["sent"] == len(set(way.server.accepted)) == len(way.server.accepted)
    assert db.session.get_one(Campaign, campaign_id).trouble_reply == "550 5.7.1 Not you"
    with freeze(utcnow() + timedelta(minutes=2)):
        assert send_round(campaign_id) is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 100)


def test_a_round_after_a_refusal_begins_with_one_connection(way: Way) -> None:
    """Whichever connections are there in time to be refused."""
    refused = "550 5.7.1 Not you"
    for number in range(MOST):
        way.script(number, "mail", *[lambda _: refused or DEFAULTS["mail"]] * 200)
    campaign_id, _ = send_to(way, 100)
    assert states_of(campaign_id) == {"waiting": 100}
    refused = ""
    health.forget()
    wait_for_openers()
    with freeze(utcnow() + timedelta(minutes=2)):
        assert send_round(campaign_id) is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 100)
    assert len({number for number, _ in way.came}) == 1


def test_a_server_that_has_refused_this_process_is_tried_over_one_connection(way: Way) -> None:
    """Another campaign was refused: nobody has told this one."""
    health.note_refusal(f"127.0.0.1:{way.server.port}")
    campaign_id, _ = send_to(way, 100)
    wait_for_openers()
    assert_all_sent(way, campaign_id, 100)
    assert way.server.connections == 1
    campaign_id, _ = send_to(way)
    wait_for_openers()
    assert way.server.connections == MOST


@in_every_way
def test_small_windows_of_a_limited_rate_go_to_everybody_once(app: Flask, way: Way) -> None:
    way.script(0, "content", all_open(way))
    send_to(way, 60)
    change_settings(app, rate_per_second=100)
    campaign_id, progress = send_to(way)
    assert progress is rounds.Progress.DONE
    assert_all_sent(way, campaign_id, 60)
    assert way.server.connections == MOST


PLACES = 5  # so many connections has the server for all of us


@pytest.fixture
def few(way: Way) -> Way:
    """A server that has few places, and takes its time for each mail."""

    welcome: list[Talk] = []
    lock = threading.Lock()

    def greet(talk: Talk) -> str:
        with lock:
            if sum(each.sock.fileno() >= 0 for each in welcome) == PLACES:
                return "421 4.7.0 Too many connections"
            welcome.append(talk)
        return "220 welcome"

    way.server.answers["greeting"] = greet
    return way


def test_a_run_that_gets_no_place_makes_all_processes_of_this_machine_leave_room(app: Flask, few: Way) -> None:
    """Another process has all the places, in use or idle, and never hears that they are too many."""
    other = connections.ConnectionPool()
    with other.bundle(current_settings()) as first, other.bundle(current_settings()) as second:
        first.widen(500)
        second.widen(500)
        wait_for_openers()
        assert len(first.connections) + len(second.connections) == PLACES
        campaign_id, _ = send_to(few, 100)
        assert db.session.get_one(Campaign, campaign_id).trouble_reply == "421 4.7.0 Too many connections"
    health.forget()
    with freeze(utcnow() + timedelta(minutes=1)):
        assert send_round(campaign_id) is rounds.Progress.DONE
        assert_all_sent(few, campaign_id, 100)
        assert len({number for number, _ in few.came}) == 1
        with other.bundle(current_settings()) as bundle:
            bundle.widen(500)
            assert len(bundle.connections) == 1
    other.close_idle()
    with freeze(utcnow() + timedelta(hours=1)):
        send_to(few)
    wait_for_openers()
    assert len(few.server.talks) > PLACES + 1


def test_a_server_with_few_places_takes_a_campaign_from_many_threads(app: Flask, few: Way) -> None:
    change_settings(app, batch_size=50, bulk_connections=4)
    make_users(1_000)
    campaign_id = launch_and_freeze()
    held = 0
    while send_round_in_threads(app, campaign_id, threads=4) is not rounds.Progress.DONE:
        db.session.expire_all()
        held += db.session.get_one(Campaign, campaign_id).trouble is not None
        db.session.execute(sa.update(Campaign).values(next_round_at=None))
        db.session.commit()
    assert_all_sent(few, campaign_id, 1_000)
    assert held <= 2


def send_round_in_threads(app: Flask, campaign_id: int, *, threads: int) -> rounds.Progress:
    planned = rounds.plan_round(campaign_id)
    left = list(planned.batches) if planned else []

    def work() -> None:
        with app.app_context():
            while left:
                sending.send_batch(campaign_id, left.pop())
            db.session.remove()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wait_for_openers()
    return rounds.finish(campaign_id)
