"""A site with something on every page: people, and a campaign in every state."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from campaigns.accounts.account_links import issue_link
from campaigns.accounts.addresses import parse_address
from campaigns.accounts.models import LinkPurpose, User
from campaigns.audience.fields import remember_fields
from campaigns.audience.imports import add_import, check_import, report_import, save_import
from campaigns.audience.models import ImportState, Suppression, UserCount, UserImport
from campaigns.audience.unsubscribe_links import unsubscribe_token
from campaigns.audience.user_counts import count_users
from campaigns.celery import LANES
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import current_settings
from campaigns.delivery import approval, freeze, launch, states
from campaigns.delivery.models import Delivery, DeliveryAttempt, Occurrence, RateSample
from campaigns.delivery.repeat_services import Repetition, find_recurrence, repeat_campaign
from campaigns.delivery.repeating import Limits
from campaigns.delivery.tracking_tokens import MailKey
from campaigns.extensions import db
from campaigns.ops.failed_tasks import Failure, record_failure
from campaigns.ops.heartbeats import Activity, Kind, record_heartbeat
from campaigns.ops.inbox import InboxWriter, inbox_path, inbox_row, newest_id
from campaigns.periodic_jobs import Outcome, due_jobs, note_run, run_if_due
from campaigns.security import Role
from campaigns.site import Site
from campaigns.team.invitations import invite, token_of
from campaigns.team.models import Invitation
from campaigns.tracking.models import OPENING
from campaigns.tracking.recording import record_visits
from campaigns.tracking.visits import Visit
from tests.journeys.tried_out import tried_out
from tests.people import make_user, make_users
from tests.reports.ledgers import LATER, LOST, NO_USER, SKIPPED, settle_batch

LONG_NAME = "대한민국서울특별시종로구청운효자동주민센터소식지구독자모임대표"
LONG_INVITED = "a.colleague.with.a.long.name@another-company-with-a-long-name.example.org"
LONG_ADDRESS = "a.very.long.address.that.somebody.really.has.at.work@a-company-with-a-long-name.example.org"
BODY = """# 11월 소식

{{ name | default: "회원" }}님, 안녕하세요. 이번 달에 **달라지는 것**입니다.

- 새 요금제: {{ plan | default: "기본" }}
- [자세한 내용](https://example.com/news)
"""
LINKED_BODY = f"{BODY}\n[도움말](https://help.example.org/ko/articles/how-to-change-your-plan?from=mail#steps)\n"
TRACKED = {"tracks_opens": True, "tracks_clicks": True}
ROLES = ("owner", "admin", "sender", "editor", "viewer")


def prepare(folder: Path) -> dict[str, Any]:
    """Fill the database of the current application; returns the ids and tokens that addresses of pages need."""
    db.session.add(_site())
    owner = _people()
    found: dict[str, Any] = {
        "user": owner.id,
        "long": _id_of(LONG_ADDRESS),
        "suppressed": _id_of("person3@example.com"),
    }
    found |= _drafts() | _launched() | _running() | _ended()
    found["repeated"] = _repeated(found["failed"])
    found |= _team(owner)
    _jobs()
    found["mail"] = _inbox(folder)
    found |= _imports(folder, owner.id) | tried_out()
    return found | _links(found)


def _repeated(sent: int) -> int:
    """A campaign that is repeated: one date was sent, one left out, one missed."""
    campaign = Campaign(subject="주간 소식", body=BODY, sender_name="새벽 우편")
    db.session.add(campaign)
    db.session.commit()
    wanted = Repetition(rule="0 10 * * 1,4", zone="Asia/Seoul", limits=Limits(times_left=12))
    repeat_campaign(campaign.id, wanted, by=None)
    recurrence = find_recurrence(campaign.id)
    assert recurrence
    for days_ago, state in ((4, "launched"), (7, "skipped"), (3, "missed")):
        at = utcnow() - timedelta(days=days_ago)
        db.session.add(
            Occurrence(
                recurrence_id=recurrence.id, local_date=at.date(), planned_at=at, state=state,
                campaign_id=sent if state == "launched" else None,
            )
        )  # fmt: skip
    db.session.commit()
    return campaign.id


def _site() -> Site:
    return Site(
        id=1,
        name="새벽 우편",
        language="ko",
        timezone="Asia/Seoul",
        sender_name="새벽 우편",
        sender_address="news@example.com",
        postal_address="서울특별시 중구 세종대로 110",
    )


def _people() -> User:
    remember_fields(["city", "plan"])
    people = {role: make_user(f"{role}@example.com", role=role, password=True, name="김하늘") for role in ROLES}
    make_user("nobody@example.com", password=True, name="이보람")
    make_user(LONG_ADDRESS, name=LONG_NAME, attributes={"city": "서울", "plan": "free"})
    make_user("not-yet@example.com", verified=False, name="박서연")
    make_user("enough@example.com", name="최민준", unsubscribed_at=utcnow())
    make_users(23, language="ko")
    db.session.add(Suppression(address_key="person3@example.com", reason="hard_bounce", detail="550 5.1.1 unknown"))
    db.session.commit()
    return people["owner"]


def _team(owner: User) -> dict[str, Any]:
    """Let one be asked for a code, deactivate another, and invite people."""
    make_user("halfway@example.com", role="editor", password=True, name="한도윤", two_step_at=utcnow())
    gone = make_user("gone@example.com", role="editor", password=True, name="오예린", deactivated_at=utcnow())
    invite(parse_address(LONG_INVITED), Role.SENDER, name="한지우", language="ko", by=owner)
    invite(parse_address("late@example.org"), Role.VIEWER, name="", language="en", by=owner)
    pending, late = db.session.query(Invitation).order_by(Invitation.id)
    late.expires_at = utcnow() - timedelta(hours=1)
    db.session.commit()
    return {"invitation": token_of(pending), "member": _id_of("sender@example.com"), "deactivated": gone.id}


def _drafts() -> dict[str, int]:
    ready = _campaign(
        subject="11월 소식: 새 요금제와 연말 운영 시간을 안내해 드립니다", preheader="달라지는 것 세 가지"
    )
    broken = _campaign(subject='{{ naem | default: "회원" }}님께', body="{{ city }} 소식 {{ 그런거 없음 }}")
    empty = _campaign(subject="", body="")
    archived = _campaign(subject="지난달 소식", state=CampaignState.SENT, archived_at=utcnow(), finished_at=utcnow())
    return {"draft": ready, "broken": broken, "empty": empty, "archived": archived}


def _launched() -> dict[str, int]:
    scheduled, held = _campaign(subject="12월 예고"), _campaign(subject="방금 보낸 소식")
    launch.launch_at(scheduled, by=None, launch_key="k1", at=utcnow() + timedelta(days=3), zone="Asia/Seoul")
    launch.launch_now(held, by=None, launch_key="k2", hold_seconds=3600)
    preparing = _campaign(subject="준비 중인 소식")
    launch.launch_now(preparing, by=None, launch_key="k3", hold_seconds=0)
    states.begin_preparing(preparing)
    asked = _campaign(subject="승인을 기다리는 소식")
    sender = db.session.scalar(select(User.id).where(User.email == "sender@example.com"))
    approval.ask(asked, by=sender, launch_key="k5", people=30, compiled={})
    late = _campaign(subject="때를 놓친 소식")
    launch.launch_at(late, by=None, launch_key="k4", at=utcnow() + timedelta(hours=1), zone="Asia/Seoul")
    missed = utcnow() - timedelta(days=9)
    times = {"scheduled_at": missed, "not_after": missed + timedelta(hours=1)}
    db.session.execute(update(Campaign).where(Campaign.id == late).values(times))
    db.session.commit()
    return {"scheduled": scheduled, "held": held, "preparing": preparing, "late": late, "asked": asked}


def _running() -> dict[str, int]:
    sending, paused, stopped = (_frozen(subject) for subject in ("보내는 중인 소식", "멈춘 소식", "엔진이 멈춘 소식"))
    for campaign_id in (sending, paused, stopped):
        settle_batch(campaign_id, 1, NO_USER, LATER)
        settle_batch(campaign_id, 2)
        _rate_samples(campaign_id)
    states.pause(paused)
    states.pause(stopped, reason="too_many_failures")
    return {"sending": sending, "paused": paused, "stopped": stopped}


def _ended() -> dict[str, int]:
    sent, cancelled = _frozen("다 보낸 소식"), _frozen("취소한 소식")
    failed, unsure = (_frozen(name, body=LINKED_BODY, **TRACKED) for name in ("실패한 소식", "모르는 소식"))
    for campaign_id, outcomes in ((sent, ()), (failed, (NO_USER, NO_USER, SKIPPED)), (unsure, (LOST, NO_USER))):
        for number in range(1, 7):
            settle_batch(campaign_id, number, *(outcomes if number == 1 else ()))
        _rate_samples(campaign_id)
        _end(campaign_id, CampaignState.SENT)
    _tried(failed)
    for campaign_id in (failed, unsure):
        _visits(campaign_id)
    settle_batch(cancelled, 1)
    states.cancel(cancelled)
    return {"sent": sent, "failed": failed, "unsure": unsure, "cancelled": cancelled}


def _tried(campaign_id: int) -> None:
    """Let the first person have been refused before, lost once and decided on."""
    row = db.session.get_one(Delivery, (campaign_id, 1))
    row.attempts, at = 3, row.settled_at or utcnow()
    greylisted = (
        "451 4.7.1 <owner@example.com>: Recipient address rejected: Greylisted, see https://example.com/greylist"
    )
    told: tuple[dict[str, Any], ...] = (
        {"outcome": "returned", "reason": "server_closing", "phase": "mail", "code": 421, "reply": "421 4.3.2 Closing"},
        {"outcome": "deferred", "reason": "greylisted", "phase": "rcpt", "code": 451, "reply": greylisted},
        {"outcome": "uncertain", "reason": "connection_lost", "phase": "content", "try_number": 2},
        {"outcome": "sent_again", "actor": "owner@example.com", "try_number": 2},
        {
            "outcome": "failed",
            "reason": "no_such_address",
            "phase": "rcpt",
            "code": 550,
            "reply": "550 5.1.1 Unknown",
            "try_number": 3,
        },
    )
    for minutes, values in enumerate(told, start=1):
        is_asked = values["outcome"] != "sent_again"
        asked = {"server": "relay1.example.com:587", "worker": "machine:101"} if is_asked else {}
        times = {
            "at": at + timedelta(minutes=minutes),
            "next_attempt_at": at if "451" in values.get("reply", "") else None,
        }
        about = {"campaign_id": campaign_id, "position": 1, "try_number": 1}
        db.session.add(DeliveryAttempt(**{**about, **asked, **times, **values}))
    db.session.commit()


def _jobs() -> None:
    record_heartbeat("machine:101:" + ",".join(LANES), kind=Kind.WORKER, lanes=",".join(LANES), activity=Activity(1, 9))
    record_heartbeat("machine:102:beat", kind=Kind.BEAT)
    record_heartbeat("tick", kind=Kind.TICK)
    due_jobs()
    run_if_due("audience.count_users", count_users)
    _user_counts()
    note_run("delivery.launch_due", started_at=utcnow(), outcome=Outcome.OK)
    note_run("mail.sweep_outbox", started_at=utcnow(), outcome=Outcome.FAILED, error="OperationalError: disk full")
    trace = 'Traceback (most recent call last):\n  File "tasks.py", line 1, in send_batch\nOSError: disk full\n'
    record_failure(Failure("t1", "delivery.send_batch", args=[7, 3], reason="OSError: disk full", traceback=trace))


def _user_counts() -> None:
    """A month and a half of a growing site, of which two days were not counted."""
    now = utcnow().replace(minute=0, second=0, microsecond=0)
    for hours in (hours for hours in range(3, 45 * 24, 3) if not 240 <= hours < 288):
        users = 29 - hours // 60
        numbers = {"users": users + 3, "verified": users + 2, "receiving": users, "unsubscribed": 1, "suppressed": 1}
        db.session.add(UserCount(hour=now - timedelta(hours=hours), by_language={"ko": users}, **numbers))
    db.session.commit()


def _inbox(folder: Path) -> int:
    writer = InboxWriter(inbox_path(folder))
    for number in range(60):
        mail = EmailMessage()
        mail["From"], mail["To"] = "새벽 우편 <news@example.com>", f"person{number}@example.com"
        mail["Subject"], mail["Message-ID"] = f"회원 {number}님, 11월 소식", f"<{number}@example.com>"
        mail.set_content("안녕하세요.\n\nhttps://example.com/p/u/abc\n")
        mail.add_alternative("<!doctype html><html><head></head><body><p>안녕하세요.</p></body></html>", subtype="html")
        to = f"person{number}@example.com"
        content = mail.as_bytes()
        writer.write([inbox_row(received_at=utcnow(), sender="b@example.com", recipient=to, content=content)])
    writer.close()
    return newest_id(inbox_path(folder))


def _imports(folder: Path, by: int) -> dict[str, int]:
    """Import one file to its end, and leave one in the middle and one refused."""
    file = folder / "people.csv"
    rows = ["이메일,이름,언어,city", "dawn@example.com,새벽,ko,서울", "주소 아님,누구,ko,부산"]
    file.write_text("\n".join([*rows, "enough@example.com,최민준,ko,대구"]), encoding="utf-8")
    imported = add_import(file, file_name="people.csv", by=by)
    check_import(imported)
    while not save_import(imported, budget_seconds=30):
        pass
    report_import(imported)
    running = UserImport(
        file_name="회원.csv", source_path="", state=ImportState.SAVING, rows_total=900, rows_done=300, added=290,
        bad=10, created_by_id=by,
    )  # fmt: skip
    refused = UserImport(
        file_name="주소 없음.csv", source_path="", state=ImportState.FAILED, error="no_email_column", created_by_id=by,
        finished_at=utcnow(),
    )  # fmt: skip
    db.session.add_all([running, refused])
    db.session.commit()
    return {"imported": imported, "importing": running.id, "not_imported": refused.id}


def _id_of(address: str) -> int:
    return db.session.query(User).filter_by(email=address).one().id


def _links(found: dict[str, Any]) -> dict[str, str]:
    unverified = db.session.query(User).filter_by(email="not-yet@example.com").one()
    verify = issue_link(unverified.id, LinkPurpose.VERIFY, lifetime=timedelta(days=1))
    reset = issue_link(found["user"], LinkPurpose.RESET, lifetime=timedelta(days=1))
    new = "another@example.com"
    address = issue_link(found["member"], LinkPurpose.ADDRESS, lifetime=timedelta(days=1), new_email=new)
    db.session.commit()
    unsubscribe = unsubscribe_token(current_settings().secret_key, found["user"], found["sent"])
    return {"verify": verify, "reset": reset, "address": address, "unsubscribe": unsubscribe}


def _campaign(**values: Any) -> int:
    campaign = Campaign(**{"body": BODY, "language": "ko", "sender_name": "새벽 우편", **values})
    db.session.add(campaign)
    db.session.commit()
    return campaign.id


def _frozen(subject: str, **values: Any) -> int:
    campaign_id = _campaign(subject=subject, **values)
    launch.launch_now(campaign_id, by=None, launch_key=f"key-{campaign_id}", hold_seconds=0)
    assert states.begin_preparing(campaign_id)
    assert freeze.freeze_audience(campaign_id)
    return campaign_id


def _visits(campaign_id: int) -> None:
    """Let some open the mail, fewer follow its first link, one the second; and a machine come before all of them."""
    half_an_hour_later = utcnow() + timedelta(minutes=30)
    record_visits([Visit(MailKey(campaign_id, 9), 1, utcnow())])
    for position in range(4, 10):
        links = (OPENING, 1, 2)[: 1 + (position > 5) + (position > 8)]
        record_visits([Visit(MailKey(campaign_id, position), link, half_an_hour_later) for link in links])


def _rate_samples(campaign_id: int) -> None:
    now = utcnow().replace(microsecond=0)
    for back in range(6):
        sample = RateSample(campaign_id=campaign_id, window_start=now - timedelta(seconds=10 * back), sent=3 + back)
        db.session.add(sample)
    db.session.commit()


def _end(campaign_id: int, state: CampaignState) -> None:
    db.session.execute(update(Campaign).where(Campaign.id == campaign_id).values(state=state, finished_at=utcnow()))
    db.session.commit()
