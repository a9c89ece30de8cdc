"""What a new campaign tracks, who decides it, and until when."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from campaigns.audit.models import AuditEntry
from campaigns.compose.models import Campaign
from campaigns.compose.services import Draft, add_copy, create_campaign, duplicate_campaign, save_draft
from campaigns.delivery import launch, states
from campaigns.errors import Conflict
from campaigns.extensions import db
from tests.delivery.campaigns import make_campaign
from tests.pages import submit
from tests.settings.storing import store_and_look
from tests.tracking.mails import BODY


def tracked(campaign_id: int) -> tuple[bool, bool]:
    db.session.rollback()
    campaign = db.session.get_one(Campaign, campaign_id)
    return campaign.tracks_opens, campaign.tracks_clicks


def new_campaign() -> int:
    return create_campaign(created_by_id=None)


def test_nothing_is_tracked_until_somebody_wants_it(app):
    assert tracked(new_campaign()) == (False, False)


def test_the_owner_changes_what_new_campaigns_track_and_it_is_logged(app, owner_client):
    before = new_campaign()
    answer = submit(owner_client, "/settings/tracking", {"track_clicks": "y"}, action="/settings/tracking")
    assert answer.status_code == 303
    assert tracked(new_campaign()) == (False, True)
    assert tracked(before) == (False, False)
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "settings.changed")).one()
    assert (entry.before, entry.after) == ({"track_clicks": False}, {"track_clicks": True})


def test_a_change_is_seen_by_other_processes_without_a_restart(app):
    store_and_look("tracking", track_opens=True, track_clicks=True)
    assert tracked(new_campaign()) == (True, True)


def test_whoever_writes_a_campaign_chooses_for_it(owner_client):
    campaign_id = make_campaign(tracks_opens=True)
    page = f"/campaigns/{campaign_id}/edit"
    assert submit(owner_client, page, {"tracks_opens": None, "tracks_clicks": "y"}, action=page).status_code == 303
    assert tracked(campaign_id) == (False, True)
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "campaign.edited")).one()
    assert entry.after == {"tracks_opens": False, "tracks_clicks": True}


def test_a_copy_keeps_its_own_choice(app):
    store_and_look("tracking", track_opens=True, track_clicks=False)
    original = make_campaign(tracks_opens=False, tracks_clicks=True)
    assert tracked(duplicate_campaign(original, created_by_id=None)) == (False, True)
    copy = add_copy(db.session.get_one(Campaign, original), created_by_id=None)
    db.session.commit()
    assert tracked(copy.id) == (False, True)


def test_a_launched_campaign_keeps_what_it_tracks(app):
    campaign_id = make_campaign(body=BODY, tracks_clicks=True)
    launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=60)
    draft = Draft(subject="x", preheader="", sender_name="", reply_to="", language="ko", body="x", tracks_opens=True)
    with pytest.raises(Conflict):
        save_draft(campaign_id, draft, version=1)
    assert tracked(campaign_id) == (False, True)


def test_a_launch_that_was_taken_back_is_compiled_anew(app):
    campaign_id = make_campaign(body=BODY, tracks_clicks=True)
    launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=60)
    assert states.take_back(campaign_id)
    campaign = db.session.get_one(Campaign, campaign_id)
    campaign.tracks_clicks = False
    db.session.commit()
    launch.launch_now(campaign_id, by=None, launch_key="another", hold_seconds=60)
    db.session.expire_all()
    assert "link_targets" not in db.session.get_one(Campaign, campaign_id).compiled["content"]


@pytest.fixture
def environ(environ: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    return {**environ, **getattr(request, "param", {})}


@pytest.mark.parametrize("environ", [{"TRACK_OPENS": "true"}], indirect=True)
def test_what_the_environment_says_cannot_be_changed(app, owner_client):
    page = owner_client.get("/settings/tracking").text
    assert "TRACK_OPENS" in page
    assert 'name="track_opens"' not in page
    store_and_look("tracking", track_opens=False, track_clicks=True)
    assert tracked(new_campaign()) == (True, True)
