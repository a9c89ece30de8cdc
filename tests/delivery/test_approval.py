"""A launch to many waits for a second person: who may approve, what voids it, and that both hands are needed."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from campaigns.accounts.models import User
from campaigns.audit.models import AuditEntry
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery import approval, launch, rounds, states
from campaigns.extensions import db
from campaigns.mail.services import deliver_mail, queue_mail
from campaigns.site import Site
from tests.delivery.campaigns import make_campaign
from tests.pages import forms_of, submit
from tests.people import log_in, make_user, make_users

PEOPLE = 12


@pytest.fixture(autouse=True)
def four_eyes(app):
    """From ten people up; Ada and Grace may launch, Edith may only write."""
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], approve_from=10)
    db.session.add(Site(id=1, name="Dawn", language="en", sender_address="news@example.com"))
    make_user("grace@example.com", name="Grace", role="sender", password=True)
    make_user("edith@example.com", name="Edith", role="editor", password=True)
    make_users(PEOPLE - 3)
    db.session.commit()


@pytest.fixture
def grace(app):
    return log_in(app, db.session.scalar(select_user("grace@example.com")))


def select_user(address: str):
    return select(User).where(User.email == address)


def state_of(campaign_id: int) -> str:
    return db.session.scalar(select(Campaign.state).where(Campaign.id == campaign_id))


def ask(client, campaign_id: int, **fields) -> None:
    answer = submit(client, f"/campaigns/{campaign_id}/launch", fields, action=f"/campaigns/{campaign_id}/launch")
    assert answer.status_code == 303, answer.text


def approve(client, campaign_id: int, **fields):
    page = client.get(f"/campaigns/{campaign_id}/approval")
    forms = [form for form in forms_of(page.text) if form["action"] == f"/campaigns/{campaign_id}/approve"]
    fields = {**forms[0]["fields"], **fields} if forms else fields
    return client.post(f"/campaigns/{campaign_id}/approve", data=fields)


def deeds() -> list[tuple[str, str]]:
    entries = db.session.scalars(select(AuditEntry).where(AuditEntry.action.like("campaign.%")).order_by(AuditEntry.id))
    return [(entry.action.removeprefix("campaign."), entry.actor.partition("@")[0]) for entry in entries]


@pytest.mark.both_databases
def test_two_people_launch_and_everybody_gets_it(app, owner_client, grace, sink, run_queued):
    campaign_id = make_campaign(subject="News for all")
    assert "Ask for approval" in owner_client.get(f"/campaigns/{campaign_id}/launch").text
    ask(owner_client, campaign_id)
    assert state_of(campaign_id) == CampaignState.APPROVAL
    assert "Waiting for approval" in owner_client.get(f"/campaigns/{campaign_id}/progress").text
    run_queued()
    assert [mail.recipient for mail in sink.mails] == ["grace@example.com"], "only who may approve is asked"
    (mail,) = sink.to("grace@example.com")
    assert f"/campaigns/{campaign_id}/approval" in mail.text
    assert "“News for all” is to go to 12 people. Asked for by: Ada." in mail.text

    page = grace.get(f"/campaigns/{campaign_id}/approval").text
    assert "News for all" in page
    assert "Approve for 12 people" in page
    assert approve(grace, campaign_id).status_code == 303
    run_queued()
    rounds.finish(campaign_id)
    assert state_of(campaign_id) == CampaignState.SENT
    row = db.session.get_one(Campaign, campaign_id)
    assert len([mail for mail in sink.mails if mail.message["Subject"].startswith("News for all")]) == PEOPLE
    assert row.approved_by_id != row.launched_by_id
    assert "Your launch was approved" in sink.to("ada@example.com")[0].text
    assert ("approval_asked", "ada") in deeds()
    assert ("approved", "grace") in deeds()


@pytest.mark.both_databases
def test_nobody_approves_their_own(app, owner_client, grace):
    campaign_id = make_campaign()
    ask(owner_client, campaign_id)
    page = owner_client.get(f"/campaigns/{campaign_id}/approval").text
    assert "Somebody else has to decide" in page
    assert "Grace" in page
    assert f"/campaigns/{campaign_id}/approve" not in page
    key = db.session.get_one(Campaign, campaign_id).launch_key
    token = forms_of(page)[0]["fields"]["csrf_token"]
    forged = {"counted": PEOPLE, "launch_key": key, "csrf_token": token}
    assert owner_client.post(f"/campaigns/{campaign_id}/approve", data=forged).status_code == 303
    assert state_of(campaign_id) == CampaignState.APPROVAL
    declined = {"reason": "mine", "launch_key": key, "csrf_token": token}
    owner_client.post(f"/campaigns/{campaign_id}/decline", data=declined)
    assert state_of(campaign_id) == CampaignState.APPROVAL


def test_who_may_not_launch_may_not_approve(app, owner_client):
    campaign_id = make_campaign()
    ask(owner_client, campaign_id)
    edith = log_in(app, db.session.scalar(select_user("edith@example.com")))
    assert edith.get(f"/campaigns/{campaign_id}/approval").status_code == 403


def test_below_the_number_one_person_is_enough(app, owner_client):
    settings = app.extensions["carillon.settings"]
    app.extensions["carillon.settings"] = replace(settings, approve_from=PEOPLE + 2)
    campaign_id = make_campaign()
    ask(owner_client, campaign_id)
    assert state_of(campaign_id) == CampaignState.STARTING


def test_a_declined_launch_is_a_draft_with_the_reason(app, owner_client, grace, sink, run_queued):
    campaign_id = make_campaign()
    ask(owner_client, campaign_id)
    path = f"/campaigns/{campaign_id}/approval"
    empty = submit(grace, path, {"reason": " "}, action=f"/campaigns/{campaign_id}/decline")
    assert empty.status_code == 422
    assert "Say why" in empty.text
    submit(grace, path, {"reason": "The date is wrong."}, action=f"/campaigns/{campaign_id}/decline")
    assert state_of(campaign_id) == CampaignState.DRAFT
    run_queued()
    assert "The date is wrong." in sink.to("ada@example.com")[0].text
    assert "The date is wrong." in owner_client.get(f"/campaigns/{campaign_id}/launch").text
    assert sink.to("grace@example.com") == [], "what was decided before its mail went is not asked any more"


def test_whoever_asked_is_told_when_somebody_else_takes_the_launch_back(app, owner_client, grace, sink, run_queued):
    for client in (owner_client, grace):
        campaign_id = make_campaign(subject="News")
        ask(owner_client, campaign_id)
        submit(client, f"/campaigns/{campaign_id}/progress", {}, action=f"/campaigns/{campaign_id}/take-back")
        assert state_of(campaign_id) == CampaignState.DRAFT
    run_queued()
    (mail,) = sink.to("ada@example.com")
    assert str(mail.message["Subject"]) == "Taken back: News · Dawn"
    for words in ("Your launch was taken back", "It is a draft again, and nothing was sent.", "By: Grace"):
        assert words in mail.text
    assert "Reason" not in mail.text


@pytest.mark.parametrize(("said", "heading"), [(True, "approved"), (False, "declined")])
def test_an_answer_that_an_earlier_version_queued_is_told_as_it_is(app, sink, said, heading):
    campaign_id = make_campaign(declined_reason="The date is wrong.")
    mail = queue_mail(
        kind="approval_decided",
        to_address="ada@example.com",
        language="en",
        expires_at=utcnow() + timedelta(days=1),
        context={"campaign_id": campaign_id, "approved": said},
    )
    db.session.commit()
    deliver_mail(mail.id)
    assert f"Your launch was {heading}" in sink.to("ada@example.com")[0].text


def test_what_is_taken_back_and_edited_has_to_be_approved_again(app, owner_client, grace):
    campaign_id = make_campaign()
    tomorrow = f"{utcnow() + timedelta(days=1):%Y-%m-%d}"
    ask(owner_client, campaign_id, when="later", day=tomorrow, clock="10:00", zone="UTC")
    assert state_of(campaign_id) == CampaignState.APPROVAL
    approve(grace, campaign_id)
    assert state_of(campaign_id) == CampaignState.SCHEDULED
    assert approval.is_approved(db.session.get_one(Campaign, campaign_id))

    submit(owner_client, f"/campaigns/{campaign_id}/progress", {}, action=f"/campaigns/{campaign_id}/take-back")
    submit(owner_client, f"/campaigns/{campaign_id}/edit", {"subject": "Something else"})
    ask(owner_client, campaign_id)
    db.session.expire_all()
    assert state_of(campaign_id) == CampaignState.APPROVAL
    assert not approval.is_approved(db.session.get_one(Campaign, campaign_id))


def test_the_content_is_locked_while_it_waits_and_withdrawing_ends_the_request(app, owner_client, grace):
    campaign_id = make_campaign(subject="As it was")
    ask(owner_client, campaign_id)
    page = grace.get(f"/campaigns/{campaign_id}/approval").text
    old = next(form for form in forms_of(page) if form["action"].endswith("/approve"))["fields"]
    assert owner_client.get(f"/campaigns/{campaign_id}/edit").status_code in {303, 302}
    submit(owner_client, f"/campaigns/{campaign_id}/progress", {}, action=f"/campaigns/{campaign_id}/take-back")
    assert state_of(campaign_id) == CampaignState.DRAFT
    db.session.execute(update(Campaign).where(Campaign.id == campaign_id).values(subject="As it is"))
    db.session.commit()
    ask(owner_client, campaign_id)
    grace.post(f"/campaigns/{campaign_id}/approve", data=old)
    assert state_of(campaign_id) == CampaignState.APPROVAL, "an approval of the old request is none of the new one"


def test_a_changed_number_is_shown_again(app, owner_client, grace):
    campaign_id = make_campaign()
    ask(owner_client, campaign_id)
    answer = approve(grace, campaign_id, counted="40")
    assert answer.status_code == 422
    assert "The number of people has changed" in answer.text
    assert state_of(campaign_id) == CampaignState.APPROVAL


def test_many_have_to_be_typed(app, owner_client, grace):
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], confirm_from=5)
    campaign_id = make_campaign()
    ask(owner_client, campaign_id, confirm=str(PEOPLE))
    refused = approve(grace, campaign_id, counted="11")
    assert refused.status_code == 422
    assert "To confirm, type 12, the number of people." in refused.text, "the page shows it again, as it is now"
    assert approve(grace, campaign_id, confirm="12").status_code == 303
    assert state_of(campaign_id) == CampaignState.STARTING


@pytest.mark.both_databases
def test_of_two_who_approve_at_once_one_wins(app, owner):
    campaign_id = make_campaign()
    launch.launch_now(campaign_id, by=owner.id, launch_key="key")
    others = [db.session.scalar(select_user("grace@example.com")).id, make_user("lin@example.com", role="admin").id]
    won: list[int] = []

    def run(person: int) -> None:
        with app.app_context():
            if approval.approve(campaign_id, by=person, launch_key="key"):
                won.append(person)
            db.session.remove()

    threads = [threading.Thread(target=run, args=(person,)) for person in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    db.session.expire_all()
    assert db.session.get_one(Campaign, campaign_id).approved_by_id == won[0]


@pytest.mark.both_databases
def test_a_schedule_that_grew_is_stopped_when_it_is_due(app, owner, grace, run_queued, sink):
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], approve_from=20)
    campaign_id = make_campaign()
    launch.launch_at(campaign_id, by=owner.id, launch_key="key", at=utcnow() + timedelta(minutes=6), zone="UTC")
    assert state_of(campaign_id) == CampaignState.SCHEDULED
    make_users(20, prefix="later")
    db.session.execute(update(Campaign).values(scheduled_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()
    app.extensions["celery"].tasks["delivery.launch_due"].delay()
    run_queued()
    assert state_of(campaign_id) == CampaignState.APPROVAL
    assert len(sink.to("grace@example.com")) == 1
    app.extensions["celery"].tasks["delivery.launch_due"].delay()
    run_queued()
    assert state_of(campaign_id) == CampaignState.APPROVAL
    assert approve(grace, campaign_id).status_code == 303
    assert state_of(campaign_id) == CampaignState.STARTING, "its time has passed, so it starts now"


def test_a_launch_that_came_in_before_the_setting_is_stopped_at_the_end_of_its_hold(app, owner, run_queued, sink):
    free = app.extensions["carillon.settings"]
    app.extensions["carillon.settings"] = replace(free, approve_from=0)
    campaign_id = make_campaign()
    launch.launch_now(campaign_id, by=owner.id, launch_key="key", hold_seconds=0)
    app.extensions["carillon.settings"] = free
    app.extensions["celery"].tasks["delivery.end_hold"].delay(campaign_id)
    run_queued()
    assert state_of(campaign_id) == CampaignState.APPROVAL
    assert len(sink.to("grace@example.com")) == 1


def test_an_approved_schedule_starts_by_itself(app, owner, run_queued):
    campaign_id = make_campaign()
    launch.launch_at(campaign_id, by=owner.id, launch_key="key", at=utcnow() + timedelta(minutes=6), zone="UTC")
    assert approval.approve(campaign_id, by=db.session.scalar(select_user("grace@example.com")).id, launch_key="key")
    db.session.execute(update(Campaign).values(scheduled_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()
    assert approval.stop_unapproved(campaign_id) is None
    assert states.begin_preparing(campaign_id)


def test_a_late_schedule_without_approval_is_not_launched(app, owner, owner_client):
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], approve_from=0)
    campaign_id = make_campaign()
    launch.launch_at(campaign_id, by=owner.id, launch_key="key", at=utcnow() + timedelta(minutes=6), zone="UTC")
    long_ago = utcnow() - timedelta(hours=8)
    db.session.execute(update(Campaign).values(scheduled_at=long_ago, not_after=long_ago + timedelta(hours=6)))
    db.session.commit()
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], approve_from=10)
    path = f"/campaigns/{campaign_id}/launch-late"
    answer = submit(owner_client, path, {}, action=path)
    assert answer.status_code == 409
    assert "A second person has to approve this" in answer.text
    assert state_of(campaign_id) == CampaignState.SCHEDULED


def test_the_dashboard_asks_those_who_may(app, owner_client, grace):
    campaign_id = make_campaign(subject="News for all")
    ask(owner_client, campaign_id)
    assert "“News for all” waits for a second person" in grace.get("/").text
    edith = log_in(app, db.session.scalar(select_user("edith@example.com")))
    assert "waits for a second person" not in edith.get("/").text
