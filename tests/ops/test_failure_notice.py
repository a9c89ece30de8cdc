"""The mail to owners and admins when many tasks fail within an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import deliver_mail
from campaigns.ops.failed_tasks import SET_ASIDE, Failure, record_failure, settle_failure
from campaigns.ops.failure_notice import tell_admins_of_failures
from tests.ops.failures import open_failures
from tests.people import make_user
from tests.smtp_sink import Sink

pytestmark = pytest.mark.both_databases


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "FAILURE_NOTICE_AFTER": "3"}


@pytest.fixture
def people(app: Flask) -> list[User]:
    return [
        make_user("ada@example.com", role="owner", language="en", password=True),
        make_user("kim@example.com", role="admin", language="ko", password=True),
        make_user("sam@example.com", role="sender", language="en", password=True),
        make_user("new@example.com", role="admin", language="en", verified=False),
    ]


def fail(count: int, *, name: str = "audience.save_import", prefix: str = "a", args: tuple[int, ...] = ()) -> None:
    for n in range(count):
        record_failure(Failure(f"{prefix}{n}", name, list(args), reason="OSError: no room"))


def test_owners_and_admins_get_one_mail_in_their_language(people: list[User], sink: Sink) -> None:
    fail(2)
    fail(1, name="ops.clean_up", prefix="b")
    for mail_id in tell_admins_of_failures():
        deliver_mail(mail_id)
    assert sorted(mail.recipient for mail in sink.mails) == ["ada@example.com", "kim@example.com"]
    english, korean = (
        next(m for m in sink.mails if m.recipient == who).text for who in ("ada@example.com", "kim@example.com")
    )
    assert "3 tasks failed within an hour" in english
    assert "Save an import: 2" in english
    assert "Clean up: 1" in english
    assert "http://carillon.example.test/jobs#failed" in english
    assert "작업 3건이 실패했습니다." in korean


def test_fewer_than_the_setting_says_are_no_mail(people: list[User]) -> None:
    fail(2)
    assert tell_admins_of_failures() == []


def test_failures_of_an_hour_ago_do_not_count(people: list[User]) -> None:
    with freeze(utcnow() - timedelta(minutes=61)):
        fail(5)
    fail(2, prefix="b")
    assert tell_admins_of_failures() == []


def test_the_next_mail_comes_after_six_hours(people: list[User]) -> None:
    fail(3)
    assert len(tell_admins_of_failures()) == 2
    fail(9, prefix="b")
    assert tell_admins_of_failures() == []
    with freeze(utcnow() + timedelta(hours=5, minutes=59)):
        fail(3, prefix="c")
        assert tell_admins_of_failures() == []
    with freeze(utcnow() + timedelta(hours=6, minutes=1)):
        fail(3, prefix="d")
        assert len(tell_admins_of_failures()) == 2


def test_the_next_mail_comes_earlier_when_the_failures_were_dealt_with(people: list[User]) -> None:
    with freeze(utcnow() - timedelta(minutes=5)):
        fail(3)
        assert len(tell_admins_of_failures()) == 2
    for failed in open_failures():
        settle_failure(failed.id, how=SET_ASIDE)
    fail(3, prefix="b")
    assert len(tell_admins_of_failures()) == 2


def test_a_notice_that_cannot_be_sent_does_not_lead_to_another(people: list[User]) -> None:
    fail(3)
    mail_ids = tell_admins_of_failures()
    for failed in open_failures():
        settle_failure(failed.id, how=SET_ASIDE)
    for mail_id in mail_ids:
        for n in range(5):
            record_failure(Failure(f"m{mail_id}-{n}", "mail.send_mail", [mail_id], reason="OSError: x"))
    assert tell_admins_of_failures() == []
    assert len(db.session.scalars(select(OutboxMail)).all()) == 2


def test_a_notice_is_not_sent_any_more_once_all_is_settled(people: list[User], sink: Sink) -> None:
    fail(3)
    mail_ids = tell_admins_of_failures()
    for failed in open_failures():
        settle_failure(failed.id, how=SET_ASIDE)
    for mail_id in mail_ids:
        deliver_mail(mail_id)
    assert sink.mails == []
