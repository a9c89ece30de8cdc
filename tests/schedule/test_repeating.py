"""Campaigns that are repeated: one copy for each date, whatever beats twice, comes late or dies half way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Thread

import pytest
from flask import Flask
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audit.models import AuditEntry
from campaigns.clock import freeze
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.services import delete_draft
from campaigns.delivery import copy_guard, repeat_services, repeating, rounds, states
from campaigns.delivery.models import Occurrence, OccurrenceState, Recurrence, RecurrenceState
from campaigns.delivery.queries import past_occurrences
from campaigns.delivery.repeat_services import Repetition
from campaigns.delivery.repeating import Limits, next_days
from campaigns.delivery.tasks import repeat_due
from campaigns.errors import Conflict, UserError
from campaigns.extensions import db
from tests.delivery.campaigns import make_campaign
from tests.people import make_users

pytestmark = pytest.mark.both_databases
S = OccurrenceState
# A Sunday; the rule comes at 10:00 in Seoul, which is 01:00 UTC.
START = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
FIRST = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LATE_EVENING = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


def repeat(rule: str = "0 10 * * *", zone: str = "Asia/Seoul", at: datetime = START, **limits: object) -> int:
    """Make a campaign that is repeated; returns its id."""
    campaign_id = make_campaign()
    with freeze(at):
        wanted = Repetition(rule=rule, zone=zone, limits=Limits(**limits))
        repeat_services.repeat_campaign(campaign_id, wanted, by=None)
    return campaign_id


def recurrence_of(campaign_id: int) -> Recurrence:
    db.session.expire_all()
    recurrence = repeat_services.find_recurrence(campaign_id)
    assert recurrence
    return recurrence


def tick(at: datetime) -> None:
    with freeze(at):
        repeat_due()


def days(campaign_id: int) -> list[tuple[date, str]]:
    recurrence_id = recurrence_of(campaign_id).id
    query = select(Occurrence.local_date, Occurrence.state).where(Occurrence.recurrence_id == recurrence_id)
    return [tuple(row) for row in db.session.execute(query.order_by(Occurrence.local_date))]


def copies(campaign_id: int) -> list[Campaign]:
    db.session.expire_all()
    return list(db.session.scalars(select(Campaign).where(Campaign.id != campaign_id).order_by(Campaign.id)))


def test_a_copy_goes_out_on_each_day_once(app: Flask, sink, run_queued) -> None:
    make_users(3)
    campaign_id = repeat()
    tick(FIRST - timedelta(seconds=1))
    assert copies(campaign_id) == []
    for at in (FIRST, FIRST, FIRST + timedelta(seconds=10), FIRST + DAY, FIRST + DAY):
        tick(at)
        with freeze(at + timedelta(seconds=1)):
            run_queued()
            assert {rounds.finish(copy.id) for copy in copies(campaign_id)} == {rounds.Progress.DONE}
    assert [copy.state for copy in copies(campaign_id)] == [CampaignState.SENT] * 2
    assert len(sink.mails) == 6
    assert days(campaign_id) == [(date(2026, 11, 22), S.LAUNCHED), (date(2026, 11, 23), S.LAUNCHED)]
    assert db.session.get_one(Campaign, campaign_id).state == CampaignState.DRAFT
    totals = [totals for _day, totals in past_occurrences(recurrence_of(campaign_id).id)]
    assert [(each.recipients, each.sent, each.balances) for each in totals if each] == [(3, 3, True)] * 2


def test_each_copy_says_the_day_of_its_run_in_its_language_where_the_site_is(app: Flask, sink, run_queued) -> None:
    make_users(1)
    campaign_id = make_campaign(
        subject="{{ date }} 소식", body="{% if date %}오늘은 {{ date }}입니다.{% endif %}", language="ko"
    )
    with freeze(START):
        wanted = Repetition(rule="30 0 * * *", zone="Asia/Seoul", limits=Limits())
        repeat_services.repeat_campaign(campaign_id, wanted, by=None)
    for at in (LATE_EVENING, LATE_EVENING + DAY):  # half past midnight in Seoul, and the day before in Greenwich
        tick(at)
        with freeze(at + timedelta(seconds=1)):
            run_queued()
    assert [mail.message["Subject"] for mail in sink.mails] == ["2026년 11월 23일 소식", "2026년 11월 24일 소식"]
    first, second = (mail.text for mail in sink.mails)
    assert "오늘은 2026년 11월 23일입니다." in first
    assert "오늘은 2026년 11월 24일입니다." in second


def test_two_beats_at_once_make_one_copy_and_launch_it_once(app: Flask) -> None:
    campaign_id = repeat()
    recurrence_id = recurrence_of(campaign_id).id
    db.session.commit()
    both, launched = Barrier(2), []

    def beat() -> None:
        with app.app_context():
            both.wait()
            repeating.copy_due(recurrence_id)
            both.wait()
            launched.append(repeating.launch_copy(recurrence_id, date(2026, 11, 22)))
            db.session.remove()

    with freeze(FIRST):
        threads = [Thread(target=beat) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (copy,) = copies(campaign_id)
    assert sorted(launched, key=str) == [copy.id, None]
    assert copy.state == CampaignState.STARTING


def test_a_process_that_dies_after_the_copy_leaves_it_to_the_next_tick(app: Flask) -> None:
    campaign_id = repeat()
    with freeze(FIRST):
        repeating.copy_due(recurrence_of(campaign_id).id)
    assert days(campaign_id) == [(date(2026, 11, 22), S.COPIED)]
    tick(FIRST + timedelta(seconds=10))
    tick(FIRST + timedelta(seconds=20))
    (copy,) = copies(campaign_id)
    assert (copy.state, copy.launch_key) == (
        CampaignState.STARTING,
        f"repeat-{recurrence_of(campaign_id).id}-2026-11-22",
    )


def test_a_copy_that_was_taken_back_is_not_launched_again(app: Flask) -> None:
    campaign_id = repeat()
    tick(FIRST)
    (copy,) = copies(campaign_id)
    assert states.take_back(copy.id)
    tick(FIRST + timedelta(seconds=10))
    assert [each.state for each in copies(campaign_id)] == [CampaignState.DRAFT]


def test_days_that_are_missed_by_too_much_are_said_and_not_sent(app: Flask) -> None:
    campaign_id = repeat()
    tick(FIRST + 2 * DAY + timedelta(hours=7))
    assert days(campaign_id) == [(date(2026, 11, day), S.MISSED) for day in (22, 23, 24)]
    assert copies(campaign_id) == []
    assert recurrence_of(campaign_id).next_at == FIRST + 3 * DAY


def test_a_day_that_is_late_by_less_is_sent(app: Flask) -> None:
    campaign_id = repeat()
    tick(FIRST + timedelta(hours=5))
    assert days(campaign_id) == [(date(2026, 11, 22), S.LAUNCHED)]


def test_a_copy_that_waited_too_long_to_be_launched_is_not(app: Flask) -> None:
    campaign_id = repeat()
    with freeze(FIRST):
        repeating.copy_due(recurrence_of(campaign_id).id)
    tick(FIRST + timedelta(hours=7))
    assert days(campaign_id) == [(date(2026, 11, 22), S.MISSED)]
    assert [copy.state for copy in copies(campaign_id)] == [CampaignState.DRAFT]


@pytest.mark.parametrize(
    ("zone", "rule", "start", "expected"),
    [
        ("America/New_York", "30 2 * * *", datetime(2026, 3, 7, 12, tzinfo=UTC), ["08 07:00", "09 06:30", "10 06:30"]),
        (
            "America/New_York",
            "30 1 * * *",
            datetime(2026, 10, 31, 12, tzinfo=UTC),
            ["01 05:30", "02 06:30", "03 06:30"],
        ),
        ("Europe/Berlin", "30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), ["29 01:00", "30 00:30", "31 00:30"]),
        ("Europe/Berlin", "30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), ["25 00:30", "26 01:30", "27 01:30"]),
        ("Asia/Seoul", "30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), ["28 17:30", "29 17:30", "30 17:30"]),
    ],
)
def test_each_day_comes_once_when_clocks_jump(
    app: Flask, zone: str, rule: str, start: datetime, expected: list[str]
) -> None:
    campaign_id = repeat(rule, zone, at=start)
    for minutes in range(0, 3 * 24 * 60, 30):
        tick(start + timedelta(minutes=minutes))
    recurrence_id = recurrence_of(campaign_id).id
    planned = db.session.scalars(
        select(Occurrence.planned_at).where(Occurrence.recurrence_id == recurrence_id).order_by(Occurrence.local_date)
    )
    assert [f"{at:%d %H:%M}" for at in planned] == expected
    assert len(copies(campaign_id)) == 3


def test_a_later_time_on_the_same_day_does_not_send_a_second_one(app: Flask) -> None:
    campaign_id = repeat()
    tick(FIRST)
    with freeze(FIRST + timedelta(minutes=5)):
        later = Repetition(rule="0 15 * * *", zone="Asia/Seoul", limits=Limits())
        repeat_services.repeat_campaign(campaign_id, later, by=None)
    assert recurrence_of(campaign_id).next_at == datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def test_a_day_that_has_its_copy_gets_no_second_one_however_the_rule_came_to_it(app: Flask) -> None:
    campaign_id = repeat()
    tick(FIRST)
    recurrence_of(campaign_id).next_at = FIRST + timedelta(hours=1)
    db.session.commit()
    tick(FIRST + timedelta(hours=1))
    assert len(copies(campaign_id)) == 1
    assert recurrence_of(campaign_id).next_at == FIRST + DAY


@pytest.mark.parametrize("limits", [{"times_left": 2}, {"until": date(2026, 11, 23)}])
def test_it_ends_by_itself(app: Flask, limits: dict) -> None:
    campaign_id = repeat(**limits)
    assert db.session.get_one(Campaign, campaign_id).is_repeated
    for number in range(4):
        tick(FIRST + number * DAY)
    assert [day.day for day, _state in days(campaign_id)] == [22, 23]
    assert (recurrence_of(campaign_id).state, recurrence_of(campaign_id).next_at) == (RecurrenceState.ENDED, None)
    assert not db.session.get_one(Campaign, campaign_id).is_repeated


def test_pause_skip_go_on_and_end(app: Flask) -> None:
    campaign_id = repeat()
    with freeze(START):
        assert repeat_services.skip_next(campaign_id)
        assert repeat_services.pause_repetition(campaign_id)
        assert not repeat_services.pause_repetition(campaign_id)
    tick(FIRST + 2 * DAY)
    assert days(campaign_id) == [(date(2026, 11, 22), S.SKIPPED)]
    with freeze(FIRST + 2 * DAY):
        assert repeat_services.resume_repetition(campaign_id)
    assert recurrence_of(campaign_id).next_at == FIRST + 3 * DAY
    tick(FIRST + 3 * DAY)
    assert days(campaign_id)[1:] == [(date(2026, 11, 25), S.LAUNCHED)]
    assert repeat_services.end_repetition(campaign_id)
    tick(FIRST + 4 * DAY)
    assert len(days(campaign_id)) == 2
    actions = list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
    assert [each for each in actions if each.startswith("campaign.repe")] == [
        "campaign.repeated", "campaign.repetition_skipped", "campaign.repetition_paused",
        "campaign.repetition_resumed", "campaign.repetition_ended",
    ]  # fmt: skip


def test_the_next_days_are_those_that_will_come(app: Flask) -> None:
    campaign_id = repeat("0 10 L * *", times_left=3)
    expected = [f"{at:%m-%d}" for at in next_days(recurrence_of(campaign_id), count=5)]
    assert expected == ["11-30", "12-31", "01-31"]


def test_content_that_cannot_be_sent_is_said_and_the_next_day_still_comes(app: Flask) -> None:
    campaign_id = repeat()
    db.session.get_one(Campaign, campaign_id).body = "{{ nobody_has_this }}"
    db.session.commit()
    tick(FIRST)
    assert days(campaign_id) == [(date(2026, 11, 22), S.FAILED)]
    ((day, _totals),) = past_occurrences(recurrence_of(campaign_id).id)
    assert "nobody_has_this" in day.reason
    assert recurrence_of(campaign_id).next_at == FIRST + DAY


def test_a_campaign_that_cannot_be_sent_cannot_be_repeated(app: Flask) -> None:
    campaign_id = make_campaign(subject=" ")
    with pytest.raises(UserError):
        repeat_services.repeat_campaign(
            campaign_id, Repetition(rule="0 10 * * *", zone="UTC", limits=Limits()), by=None
        )  # fmt: skip
    assert repeat_services.find_recurrence(campaign_id) is None


def test_a_draft_that_is_repeated_is_not_deleted(app: Flask) -> None:
    campaign_id = repeat()
    with pytest.raises(Conflict):
        delete_draft(campaign_id)
    repeat_services.end_repetition(campaign_id)
    delete_draft(campaign_id)
    assert db.session.scalar(select(Recurrence.id)) is None


def test_a_copied_database_sends_no_copies_until_a_person_confirms_and_then_none_of_the_past(app: Flask) -> None:
    campaign_id = repeat()
    tick(START)
    copy_guard.note_home()
    copy_guard.mark_restored()
    db.session.commit()
    tick(FIRST + timedelta(minutes=1))
    assert days(campaign_id) == []
    with freeze(FIRST + timedelta(minutes=2)):
        repeating.leave_out_what_is_past()
        copy_guard.confirm()
    tick(FIRST + timedelta(minutes=3))
    assert days(campaign_id) == [(date(2026, 11, 22), S.MISSED)]
    assert copies(campaign_id) == []


def test_whoever_began_it_launches_it(app: Flask, owner: User) -> None:
    campaign_id = make_campaign()
    with freeze(START):
        wanted = Repetition(rule="0 10 * * *", zone="Asia/Seoul", limits=Limits())
        repeat_services.repeat_campaign(campaign_id, wanted, by=owner.id)
    tick(FIRST)
    assert [copy.launched_by_id for copy in copies(campaign_id)] == [owner.id]
