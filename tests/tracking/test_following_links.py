"""A click: it leads to where the mail's link was made for, and nowhere else, whatever is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from campaigns.compose.models import Campaign
from campaigns.config import current_settings
from campaigns.delivery.tracking_tokens import read_tracking_token, tracking_token
from campaigns.extensions import db
from tests.people import make_users
from tests.tracking.mails import follow, later, picture, send_tracked, totals, tracked_links

FIRST, SECOND = "https://example.com/news?a=1&b=2", "https://help.example.org/faq#top"


@contextmanager
def broken_database() -> Iterator[None]:
    """No connection can be opened, and none is open."""

    def refuse(dialect: Any, *_: Any) -> None:
        raise dialect.dbapi.OperationalError("the database is away")

    db.session.remove()
    event.listen(db.engine, "do_connect", refuse)
    db.engine.dispose()
    try:
        yield
    finally:
        event.remove(db.engine, "do_connect", refuse)


@pytest.fixture
def sent(app, sink) -> int:
    make_users(2)
    return send_tracked()


def test_a_link_leads_to_its_target_and_tells_nobody_where_from(client, sink, sent):
    first, second = tracked_links(sink)
    with later():
        answers = [follow(client, first), follow(client, second)]
    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [(302, FIRST), (302, SECOND)]
    for answer in answers:
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers


def test_the_picture_is_a_picture(client, sink, sent):
    answer = follow(client, picture(sink))
    assert (answer.status_code, answer.mimetype) == (200, "image/gif")
    assert answer.data.startswith(b"GIF89a")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_asking_for_the_head_leads_on_and_counts_nothing(client, sink, sent):
    with later():
        answer = follow(client, tracked_links(sink)[0], method="HEAD")
        follow(client, picture(sink), method="HEAD")
    assert (answer.status_code, answer.headers["Location"]) == (302, FIRST)
    assert totals(sent) == {}


def test_a_token_of_ours_opens_no_link_that_the_mail_did_not_have(client, sink, sent):
    token = tracked_links(sink)[0].split("/")[2]
    for number in ("0", "3", "99999999999999999999", "-1", "1.0", "x", "1/", "1?url=https://evil.example"):
        answer = follow(client, f"/c/{token}/{number}")
        assert answer.status_code == 404 or answer.headers["Location"] == FIRST, number


def test_an_altered_token_gets_a_page_that_helps(client, sink, sent):
    path = tracked_links(sink)[0]
    token = path.split("/")[2]
    key = current_settings().secret_key
    changed = [token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-1], token + "A", token.swapcase(), f"{token}="]
    forged = tracking_token("another key", sent, 1)
    nobody = tracking_token(key, sent + 1, 1)
    for wrong in [*changed, forged, nobody, "x", "%00", "%0d%0aLocation:%20evil"]:
        answer = follow(client, f"/c/{wrong}/1")
        assert answer.status_code == 404
        assert "Location" not in answer.headers
        assert "news@" in answer.text or "mailto:" in answer.text
    assert follow(client, f"/o/{forged}.gif").status_code == 404
    with later():
        assert totals(sent) == {}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(token=st.text(max_size=40), number=st.text(max_size=12))
@example(token="//evil.example", number="1")
@example(token="\\\\evil.example", number="//evil.example")
@example(token="https://evil.example", number="1")
@example(token="a\r\nLocation: https://evil.example", number="1\r\nX-Evil: 1")
def test_nothing_but_a_link_of_ours_leads_anywhere(app, token: str, number: str):
    client = app.test_client()
    answer = client.get(f"/c/{token}/{number}", buffered=True)
    assert answer.status_code in {404, 308, 400, 405}
    assert "evil" not in answer.headers.get("Location", "").removeprefix("http://localhost/").split("/")[0]
    assert "X-Evil" not in answer.headers


def test_a_target_of_another_kind_is_never_followed(client, sink, sent):
    """Should one ever stand in the database, whoever put it there."""
    campaign = db.session.get_one(Campaign, sent)
    for bad in ("javascript:alert(1)", "//evil.example", "https:evil.example", "https://", "data:x", "https://a\r\nb"):
        compiled = campaign.compiled["content"] | {"link_targets": [bad, SECOND]}
        campaign.compiled = campaign.compiled | {"content": compiled}
        db.session.commit()
        client.application.extensions["carillon.link_targets"]._kept.clear()
        assert follow(client, tracked_links(sink)[0]).status_code == 404, bad


def test_links_made_with_an_older_key_still_work(app, environ):
    token = tracking_token("an older key", 5, 9)
    assert read_tracking_token(token) is None
    settings = app.extensions["carillon.settings"]
    app.extensions["carillon.settings"] = type(settings)(
        **{**vars(settings), "secret_key_fallbacks": ("an older key",)}
    )
    assert read_tracking_token(token) == (5, 9)


@pytest.mark.both_databases
def test_while_the_database_is_away_a_click_leads_on_and_is_counted_later(app, client, sink):
    make_users(1)
    sent = send_tracked()
    path = tracked_links(sink)[0]
    with later(hours=1):
        follow(client, path)  # this process knows the campaign's links now
    with broken_database(), later(hours=2):
        answer = follow(client, tracked_links(sink)[1])
        assert (answer.status_code, answer.headers["Location"]) == (302, SECOND)
        assert follow(client, picture(sink)).status_code == 200
    assert totals(sent) == {-1: (1, 1, 0), 1: (1, 1, 0)}
    app.extensions["carillon.visit_counter"]._next_try = 0.0
    app.extensions["carillon.visit_counter"].write()
    assert totals(sent) == {-1: (1, 2, 0), 0: (1, 1, 0), 1: (1, 1, 0), 2: (1, 1, 0)}


def test_while_redis_is_away_a_click_leads_on_and_is_counted(client, sink, sent, redis_server):
    redis_server.kill()
    try:
        with later():
            assert follow(client, tracked_links(sink)[0]).status_code == 302
    finally:
        redis_server.start()
    assert totals(sent)[1] == (1, 1, 0)
