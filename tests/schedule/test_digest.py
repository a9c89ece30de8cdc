"""The daily digest: at eight where its reader is, once for each of their dates, and only when there is news."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from threading import Barrier, Thread

import pytest
from flask import Flask, g
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.celery import LANES
from campaigns.clock import freeze
from campaigns.delivery import rounds
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.ops.failed_tasks import Failure, record_failure
from campaigns.ops.heartbeats import Kind, record_heartbeat
from campaigns.reports.digests import queue_digests
from campaigns.reports.models import Digest, LedgerDifference
from campaigns.reports.tasks import send_digests
from campaigns.site import Site
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.pages import forms_of
from tests.people import log_in, make_user, make_users
from tests.reports.ledgers import NO_USER, settle_batch

pytestmark = pytest.mark.both_databases
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
# Eight in the morning of 20 November in Seoul, Berlin and New York.
SEOUL = datetime(2026, 11, 19, 23, 0, tzinfo=UTC)
BERLIN = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
NEW_YORK = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def a_site(app: Flask) -> None:
    with freeze(LONG_AGO):
        db.session.add(Site(id=1, name="Site", timezone="Asia/Seoul", language="en"))
        db.session.commit()
    g.pop("site", None)


def admin(email: str, zone: str | None, role: str = "admin", **more: object) -> User:
    return make_user(email, role=role, timezone=zone, password=True, created_at=LONG_AGO, **more)


def news(at: datetime) -> None:
    """Let somebody join at this moment."""
    make_user(f"joined-{at:%Y%m%d%H%M}@example.com", created_at=at)


def sent_to(at: datetime) -> list[str]:
    """Queue what is due at this moment; returns the addresses."""
    with freeze(at):
        ids = queue_digests()
    return sorted(db.session.scalars(select(OutboxMail.to_address).where(OutboxMail.id.in_(ids))))


def test_each_admin_gets_one_a_day_at_eight_where_they_are(app: Flask) -> None:
    admin("seoul@example.com", None)
    admin("berlin@example.com", "Europe/Berlin", role="owner")
    admin("york@example.com", "America/New_York")
    got: dict[str, list[str]] = {}
    for minutes in range(0, 3 * 24 * 60, 20):
        at = SEOUL - timedelta(hours=1) + timedelta(minutes=minutes)
        if minutes % 360 == 0:
            news(at)
        for address in sent_to(at):
            got.setdefault(address, []).append(f"{at:%d %H:%M}")
        assert sent_to(at) == []
    assert got == {
        "seoul@example.com": ["19 23:00", "20 23:00", "21 23:00"],
        "berlin@example.com": ["20 07:00", "21 07:00", "22 07:00"],
        "york@example.com": ["20 13:00", "21 13:00", "22 13:00"],
    }
    dates = db.session.scalars(select(Digest.local_date).order_by(Digest.local_date).distinct())
    assert list(dates) == [date(2026, 11, day) for day in (20, 21, 22)]


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("America/New_York", datetime(2026, 3, 7, 13, 0, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 24, 6, 0, tzinfo=UTC)),
    ],
)
def test_it_comes_at_eight_on_the_days_when_clocks_jump(app: Flask, zone: str, first: datetime) -> None:
    admin("a@example.com", zone)
    got = []
    for half_hours in range(3 * 48):
        at = first - timedelta(hours=1) + timedelta(minutes=30 * half_hours)
        news(at)
        got += [at] * len(sent_to(at))
    jump = timedelta(hours=-1 if zone.startswith("America") else 1)
    assert got == [first, first + DAY + jump, first + 2 * DAY + jump]


def test_two_workers_at_once_send_one(app: Flask) -> None:
    admin("a@example.com", None)
    news(SEOUL - DAY / 2)
    both, ids = Barrier(2), []

    def work() -> None:
        with app.app_context():
            both.wait()
            ids.extend(queue_digests())
            db.session.remove()

    with freeze(SEOUL):
        threads = [Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(ids) == 1
    assert len(list(db.session.scalars(select(OutboxMail.id)))) == 1


def test_nothing_to_tell_is_no_mail_that_day(app: Flask) -> None:
    admin("a@example.com", None)
    with freeze(SEOUL):
        record_heartbeat("worker", kind=Kind.WORKER, lanes=",".join(LANES))
        record_heartbeat("beat", kind=Kind.BEAT)
    assert sent_to(SEOUL) == []
    news(SEOUL + timedelta(minutes=10))
    assert sent_to(SEOUL + timedelta(minutes=20)) == []
    assert sent_to(SEOUL + DAY) == ["a@example.com"]


def test_a_machine_that_was_off_tells_until_two_and_then_the_next_day(app: Flask) -> None:
    admin("a@example.com", None)
    news(SEOUL - DAY / 2)
    assert sent_to(SEOUL + timedelta(hours=6)) == []
    assert sent_to(SEOUL + DAY + timedelta(hours=5)) == ["a@example.com"]


def test_who_gets_none(app: Flask) -> None:
    admin("owner@example.com", None, role="owner")
    admin("sender@example.com", None, role="sender")
    admin("enough@example.com", None, wants_digest=False)
    admin("unproved@example.com", None, verified=False)
    make_user("new@example.com", role="admin", password=True, created_at=SEOUL + timedelta(minutes=1))
    news(SEOUL - DAY / 2)
    assert sent_to(SEOUL + timedelta(minutes=5)) == ["owner@example.com"]


def test_it_tells_what_ended_with_its_equation_and_what_needs_attention(app: Flask, sink, run_queued) -> None:
    admin("a@example.com", None, language="en")
    admin("b@example.com", None, language="ko")
    with freeze(SEOUL - DAY / 2):
        make_users(3)
        campaign_id = launch_and_freeze(subject="November news")
        settle_batch(campaign_id, 1, NO_USER)
        assert rounds.finish(campaign_id) is rounds.Progress.DONE
    with freeze(SEOUL):
        send_digests()
        run_queued()
    mails = {mail.recipient: message_from_bytes(mail.content, policy=policy.default) for mail in sink.mails}
    assert sorted(mails) == ["a@example.com", "b@example.com"]
    english = mails["a@example.com"].get_body(("plain",)).get_content()
    assert "Digest of November 20, 2026" in english
    assert "November news (Sent with failures)" in english
    assert "5 candidates = 0 left out + 5 recipients" in english
    assert "5 recipients = 4 sent + 1 failed + 0 not certain + 0 got none" in english
    assert f"http://carillon.example.test/campaigns/{campaign_id}/report" in english
    assert "No worker is running" in english
    assert "http://carillon.example.test/jobs" in english
    assert "3 people joined" in english
    korean = mails["b@example.com"].get_body(("html",)).get_content()
    assert "끝난 캠페인" in korean
    assert "대상 5명 = 제외 0명 + 받는 사람 5명" in korean
    assert "작업자" in korean
    assert "http://carillon.example.test/account" in korean


def test_what_is_new_since_the_last_one_is_told_apart_from_what_is_still_open(app: Flask, sink, run_queued) -> None:
    admin("a@example.com", None, language="en")
    with freeze(SEOUL):
        fail("first")
        first = text_of_next_digest(sink, run_queued)
    assert parts_of(first) == (["No worker", "The timer", "1 task"], [])
    assert "of the last digest" not in first
    with freeze(SEOUL + DAY):
        record_heartbeat("beat", kind=Kind.BEAT)
        fail("second")
        fail("third")
        make_repeated_trouble()
        second = text_of_next_digest(sink, run_queued)
    assert parts_of(second) == (["“Old news”:"], ["No worker", "3 tasks"]), "another number is no other thing"
    assert "1 thing of the last digest needs no attention any more." in second


def fail(task_id: str) -> None:
    record_failure(Failure(task_id, "ops.clean_up", reason="OSError: no room"))


def make_repeated_trouble() -> None:
    """Let the ledger of a campaign not add up, which the dashboard says."""
    with freeze(LONG_AGO):
        campaign_id = make_campaign(subject="Old news")
    db.session.add(LedgerDifference(campaign_id=campaign_id, terms={"sent": [1, 2]}))
    db.session.commit()


def text_of_next_digest(sink, run_queued) -> str:
    sink.mails.clear()
    send_digests()
    run_queued()
    (mail,) = sink.mails
    return message_from_bytes(mail.content, policy=policy.default).get_body(("plain",)).get_content()


def parts_of(text: str) -> tuple[list[str], list[str]]:
    """Return the first words of each thing that is new, and of each that is still open."""
    new, _, still_open = text.partition("New since the last digest")[2].partition("Users")[0].partition("Still open")
    return tuple(
        [" ".join(line.split()[1:3]) for line in part.splitlines() if line.startswith("- ")]
        for part in (new, still_open)
    )


def test_the_choice_is_on_the_account_page_of_those_who_run_the_site(app: Flask) -> None:
    user = admin("a@example.com", None, language="en")
    client = log_in(app, user)
    for fields, wanted in (({}, False), ({"wanted": "y"}, True)):
        (form,) = [each for each in forms_of(client.get("/account").text) if each["action"] == "/account/digest"]
        token = {"csrf_token": form["fields"]["csrf_token"]}
        assert client.post("/account/digest", data={**token, **fields}).status_code == 303
        db.session.expire_all()
        assert user.wants_digest is wanted
    assert "Send me a digest every morning" in client.get("/account").text
    sender = log_in(app, admin("sender@example.com", None, role="sender", language="en"))
    assert "digest" not in sender.get("/account").text


def test_a_digest_that_is_not_wanted_any_more_is_not_sent(app: Flask, sink, run_queued) -> None:
    user = admin("a@example.com", None)
    news(SEOUL - DAY / 2)
    with freeze(SEOUL):
        send_digests()
        user.wants_digest = False
        db.session.commit()
        run_queued()
    assert sink.mails == []
