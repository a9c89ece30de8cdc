"""What people do, see and take is in the log with the deed itself; of recipients it keeps no address."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts import services as accounts
from campaigns.accounts.models import User
from campaigns.audience import services as audience
from campaigns.audience.import_files import import_csv
from campaigns.audience.models import SuppressionReason, UserImport
from campaigns.audit.models import AuditEntry
from campaigns.clock import freeze, utcnow
from campaigns.compose import services as compose
from campaigns.compose.queries import get_campaign
from campaigns.delivery import copy_guard, reopening, states
from campaigns.errors import Conflict
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign, send_round
from tests.pages import submit
from tests.people import PASSWORD, log_in, make_user, make_users

pytestmark = pytest.mark.both_databases


def entries() -> list[AuditEntry]:
    db.session.expire_all()
    return list(db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def actions() -> list[str]:
    return [entry.action for entry in entries()]


def last() -> AuditEntry:
    return entries()[-1]


def imported(path: Path) -> int:
    import_csv(path)
    return db.session.scalars(select(UserImport.id)).one()


def everything_written() -> str:
    rows = [[e.actor, e.target, e.before, e.after, e.reason] for e in entries()]
    return json.dumps(rows, ensure_ascii=False)


def test_writing_a_campaign_is_noted_without_its_text(app: Flask):
    campaign_id = compose.create_campaign(created_by_id=None)
    draft = compose._draft_of(get_campaign(campaign_id))
    written = replace(draft, subject="봄 소식", body="secret text")
    version = compose.save_draft(campaign_id, written, version=1)
    assert actions() == ["campaign.created", "campaign.edited", "campaign.text_edited"]
    edited, text = entries()[1:]
    assert (edited.before, edited.after) == ({"subject": ""}, {"subject": "봄 소식"})
    assert (edited.target_kind, edited.target_id, edited.target) == ("campaign", str(campaign_id), "봄 소식")
    assert (text.before, text.after) == ({"body_characters": 0}, {"body_characters": 11})
    for number in range(5):  # the composer saves by itself
        version = compose.save_draft(campaign_id, replace(written, body=f"secret text {number}"), version=version)
    assert actions().count("campaign.text_edited") == 1
    with freeze(utcnow() + timedelta(hours=2)):
        compose.save_draft(campaign_id, replace(written, body="more"), version=version)
    assert actions().count("campaign.text_edited") == 2
    assert "secret" not in everything_written()
    compose.queue_test_mails(campaign_id, ["kim@example.com"])
    assert last().after["addresses"] == ["k***@example.com"]
    copy_id = compose.duplicate_campaign(campaign_id, created_by_id=None)
    assert last().after == {"copy_of": campaign_id}
    compose.delete_draft(copy_id)
    assert last().action == "campaign.deleted"


def test_what_loses_a_race_leaves_no_entry(app: Flask):
    campaign_id = make_campaign()
    before = actions()
    with pytest.raises(Conflict):
        compose.save_draft(campaign_id, replace(compose._draft_of(get_campaign(campaign_id)), subject="x"), version=9)
    assert not states.pause(campaign_id)
    assert not states.take_back(campaign_id)
    assert not states.cancel(campaign_id)
    assert actions() == before


def test_the_life_of_a_campaign_is_noted_step_by_step(app: Flask):
    make_users(3)
    campaign_id = launch_and_freeze()
    states.pause(campaign_id, reason="a look")
    states.resume(campaign_id)
    states.resume(campaign_id)  # a repeat is no deed
    states.cancel(campaign_id)
    assert actions() == ["campaign.launched", "campaign.paused", "campaign.resumed", "campaign.cancelled"]
    launched, paused = entries()[:2]
    assert launched.after["hold_seconds"] == 0
    assert len(launched.after["content_sha256"]) == 64
    assert paused.after == {"reason": "a look"}


def test_taking_back_a_launch_and_a_schedule_are_told_apart(app: Flask):
    campaign_id = make_campaign()
    states.start(campaign_id, by=None, launch_key="a", hold_seconds=60, compiled={"x": 1})
    assert states.take_back(campaign_id)
    soon = utcnow() + timedelta(hours=1)
    kwargs: dict[str, Any] = {"at": soon, "not_after": soon, "zone": "Asia/Seoul", "compiled": {"x": 1}}
    states.schedule(campaign_id, by=None, launch_key="b", **kwargs)
    assert states.take_back(campaign_id)
    assert actions() == ["campaign.launched", "campaign.taken_back", "campaign.scheduled", "campaign.unscheduled"]
    assert entries()[2].after["zone"] == "Asia/Seoul"


def test_what_is_done_after_the_end_is_noted_with_the_number_of_people(app: Flask):
    make_users(3)
    campaign_id = launch_and_freeze()
    states.cancel(campaign_id)
    from campaigns.delivery.reconcile import cancel_rest

    cancel_rest(campaign_id)
    assert reopening.reopen(campaign_id, reopening.Rest.CANCELLED)
    assert (last().action, last().after) == ("campaign.sent_to_rest", {"people": 3})
    copy_guard.confirm()
    assert last().action == "site.database_confirmed"


def test_of_a_recipient_no_address_and_no_name_stays_when_they_are_deleted(app: Flask, owner_client: FlaskClient):
    person = make_user("haneul.kim@example.com", name="김하늘")
    user_id = person.id
    audience.update_user(user_id, name="박하늘", language="ko")
    assert (last().before["name"], last().after) == ("김***", {"name": "박***", "language": "ko"})
    audience.update_user(user_id, name="박하늘", language="ko")  # nothing changes
    audience.suppress_user(user_id, SuppressionReason.BY_HAND, detail="asked by phone")
    audience.suppress_user(user_id, SuppressionReason.BY_HAND, detail="again")
    audience.lift_suppression(user_id)
    accounts.choose_announcements(user_id, wanted=False, for_them=True)
    accounts.choose_announcements(user_id, wanted=True, for_them=True)
    owner_client.get(f"/users/{user_id}")
    owner_client.get(f"/users/{user_id}/mails")
    audience.delete_user(user_id, keep_out=True)
    assert [action for action in actions() if action.startswith("user.")] == [
        "user.edited", "user.suppressed", "user.unsuppressed", "user.unsubscribed", "user.resubscribed", "user.seen",
        "user.mails_seen", "user.deleted",
    ]  # fmt: skip
    assert {entry.target for entry in entries() if entry.target_kind == "user" and entry.target_id == str(user_id)} == {
        "h***@example.com"
    }
    assert "haneul.kim" not in everything_written()
    assert "하늘" not in everything_written()


def test_people_without_a_role_leave_no_address_behind_as_actors_either(app: Flask, owner: User):
    person = make_user("minjun@example.com", password=True)
    client = log_in(app, person)
    assert actions() == []  # whoever has no role logs in without a note
    submit(client, "/account/delete", {"password": PASSWORD, "typed": "minjun@example.com"})
    if "user.deleted" in actions():
        assert last().actor == "m***@example.com"
    assert "minjun" not in everything_written()


def test_a_profile_that_a_person_changes_is_noted_with_what_was_before(app: Flask, owner_client: FlaskClient):
    person = make_user("minjun@example.com", name="이민준", language="ko", password=True)
    client = log_in(app, person)
    for _ in range(2):  # the second changes nothing
        assert (
            submit(client, "/account", {"name": "김민준", "language": "en", "timezone": "Europe/Berlin"}).status_code
            == 303
        )
    (changed,) = [entry for entry in entries() if entry.action == "user.profile_changed"]
    assert (changed.actor, changed.target) == ("m***@example.com", "m***@example.com")
    assert changed.before == {"name": "이***", "language": "ko", "timezone": None}
    assert changed.after == {"name": "김***", "language": "en", "timezone": "Europe/Berlin"}
    assert "민준" not in everything_written()
    page = owner_client.get("/audit", headers={"Accept-Language": "en"}).text
    assert "Changed their profile" in page
    assert "Europe/Berlin" in page


def test_every_page_that_shows_somebodys_address_is_noted(app: Flask, owner_client: FlaskClient, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email\nnobody@\nkim@example.com\n", encoding="utf-8")
    import_id = imported(path)
    campaign_id, user_id = make_campaign(), db.session.scalar(select(User.id).where(User.email == "kim@example.com"))
    for page, action, target in (
        (f"/imports/{import_id}", "import.seen", "people.csv"),
        (f"/users/{user_id}/delete", "user.seen", "k***@example.com"),
        (f"/campaigns/{campaign_id}/edit", "user.offered", ""),
        (f"/campaigns/{campaign_id}/preview?as={user_id}", "user.mail_previewed", "k***@example.com"),
    ):
        for _ in range(2):
            assert owner_client.get(page).status_code == 200
        assert [(entry.action, entry.target) for entry in entries()][-1] == (action, target)
        assert actions().count(action) == 1
    assert "kim@" not in everything_written()


def test_a_page_of_an_import_that_shows_nobody_is_not_noted(owner_client: FlaskClient, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email\nkim@example.com\n", encoding="utf-8")
    owner_client.get(f"/imports/{imported(path)}")
    assert "import.seen" not in actions()


def test_seeing_a_person_is_noted_once_per_person_object_and_hour(app: Flask, owner: User, owner_client: FlaskClient):
    one, two = make_users(2)
    ids = one.id, two.id
    for _ in range(3):
        for user_id in ids:
            owner_client.get(f"/users/{user_id}")
    assert actions().count("user.seen") == 2
    other = log_in(app, make_user("eun@example.com", role="admin", password=True))
    other.get(f"/users/{ids[0]}")
    assert actions().count("user.seen") == 3
    with freeze(utcnow() + timedelta(minutes=61)):
        log_in(app, owner).get(f"/users/{ids[0]}")
    assert actions().count("user.seen") == 4
    assert {entry.actor for entry in entries() if entry.action == "user.seen"} == {"ada@example.com", "eun@example.com"}


def test_only_who_sees_addresses_is_noted_for_the_lists(app: Flask, owner_client: FlaskClient):
    make_users(2)
    campaign_id = launch_and_freeze()
    viewer = log_in(app, make_user("vic@example.com", role="viewer", password=True))
    viewer.get("/users")
    viewer.get(f"/campaigns/{campaign_id}/report/people")
    assert not {"user.listed", "report.people_seen"} & set(actions())
    owner_client.get("/users")
    owner_client.get(f"/campaigns/{campaign_id}/report/people")
    owner_client.get(f"/campaigns/{campaign_id}/report/people/1")
    assert actions()[-3:] == ["user.listed", "report.people_seen", "report.person_seen"]
    assert (last().target_kind, last().target_id) == ("delivery", f"{campaign_id}/1")
    assert last().target.endswith("***@example.com")


def test_a_download_is_noted_with_its_rows_its_filter_and_why(app: Flask, owner_client: FlaskClient):
    make_users(4)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    page = owner_client.get(f"/campaigns/{campaign_id}/report/people?state=sent").text
    assert 'name="why"' in page
    owner_client.get(f"/campaigns/{campaign_id}/report/people.csv?state=sent&why=asked by Kim")
    assert last().action == "report.people_exported"
    assert (last().after["state"], last().reason, last().actor) == ("sent", "asked by Kim", "ada@example.com")
    assert last().after["rows"] >= 4
    for name in ("failures", "domains"):
        owner_client.get(f"/campaigns/{campaign_id}/report/{name}.csv")
        assert last().action == f"report.{name}_exported"


def test_an_import_is_noted_at_its_start_and_its_end(app: Flask, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email,name\nkim@example.com,Kim\nnonsense,X\n", encoding="utf-8")
    import_csv(path)
    assert actions() == ["import.started", "import.finished"]
    assert last().after == {"added": 1, "updated": 0, "unchanged": 0, "bad": 1}
    assert (last().actor, last().target) == ("command line", "people.csv")
    empty = tmp_path / "empty.csv"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(Exception, match=r"."):
        import_csv(empty)
    assert last().action == "import.failed"


def test_whoever_sets_up_the_site_or_a_password_is_the_one_who_did_it(app: Flask, client: FlaskClient):
    person = make_user("ada@example.com", role="owner", password=True)
    from campaigns.accounts.account_links import RESET_LIFETIME, issue_link
    from campaigns.accounts.models import LinkPurpose

    token = issue_link(person.id, LinkPurpose.RESET, lifetime=RESET_LIFETIME)
    db.session.commit()
    submit(client, f"/password/reset/{token}", {"password": "another horse battery", "repeat": "another horse battery"})
    noted = [entry for entry in entries() if entry.action == "user.password_reset"]
    assert [(entry.actor, entry.ip) for entry in noted] == [("ada@example.com", "127.0.0.1")]
    assert "another horse" not in everything_written()
