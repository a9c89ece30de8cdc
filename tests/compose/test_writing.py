"""An editor writes a campaign: made, saved by hand and by itself, never overwritten by somebody else unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.audience.fields import remember_fields
from campaigns.compose.models import Campaign
from campaigns.compose.services import Draft, DraftConflict, save_draft
from campaigns.errors import Conflict
from campaigns.extensions import db
from tests.pages import forms_of, submit
from tests.people import log_in, make_user, make_users

MakeCampaign = Callable[..., Campaign]


def draft_with(**changes: str) -> Draft:
    values = {"subject": "S", "preheader": "", "sender_name": "", "reply_to": "", "language": "ko", "body": "B"}
    return Draft(**{**values, **changes})


def reload(campaign: Campaign) -> Campaign:
    db.session.expire_all()
    return db.session.get_one(Campaign, campaign.id)


def edit_path(campaign: Campaign) -> str:
    return f"/campaigns/{campaign.id}/edit"


def form_fields(client: FlaskClient, campaign: Campaign) -> dict[str, Any]:
    page = client.get(edit_path(campaign)).text
    return next(form["fields"] for form in forms_of(page) if "version" in form["fields"])


def test_a_new_campaign_opens_in_the_composer(owner_client: FlaskClient) -> None:
    response = submit(owner_client, "/campaigns", {}, action="/campaigns/new")
    assert response.status_code == 303
    page = owner_client.get(response.location)
    assert page.status_code == 200
    assert 'name="subject"' in page.text


def test_saving_keeps_what_was_written_and_shows_it_again(owner_client: FlaskClient, draft: Campaign) -> None:
    fields = {"subject": "새 제목", "body": "# 본문\n{{ name }}", "reply_to": "help@example.com", "then": ""}
    response = submit(owner_client, edit_path(draft), fields)
    assert (response.status_code, response.location) == (303, edit_path(draft))
    saved = reload(draft)
    assert (saved.subject, saved.body, saved.version) == ("새 제목", "# 본문\n{{ name }}", 2)
    assert "새 제목" in owner_client.get(edit_path(draft)).text


@pytest.mark.parametrize("step", ["check", "test"])
def test_a_button_saves_and_goes_on(owner_client: FlaskClient, draft: Campaign, step: str) -> None:
    response = submit(owner_client, edit_path(draft), {"subject": "x", "then": step})
    assert response.location == f"/campaigns/{draft.id}/{step}"
    assert owner_client.get(response.location).status_code == 200


def test_a_draft_with_mistakes_is_saved_and_the_mistakes_are_shown(owner_client: FlaskClient, draft: Campaign) -> None:
    submit(owner_client, edit_path(draft), {"subject": "{{ nmae }}", "body": "a\n\n{{ compny"})
    page = owner_client.get(edit_path(draft), headers={"Accept-Language": "en"}).text
    assert reload(draft).subject == "{{ nmae }}"
    assert "Did you mean “name”?" in page
    assert "Line 3, column 1" in page
    assert "<title>Error:" in page


def test_line_breaks_cannot_get_into_header_fields(owner_client: FlaskClient, draft: Campaign) -> None:
    submit(
        owner_client, edit_path(draft), {"subject": "a\r\nBcc: x@example.com", "sender_name": "b\nTo: y@example.com"}
    )
    saved = reload(draft)
    assert saved.subject == "a Bcc: x@example.com"
    assert saved.sender_name == "b To: y@example.com"


@pytest.mark.parametrize(
    ("field", "value"), [("reply_to", "not an address"), ("subject", "x" * 301), ("language", "xx")]
)
def test_what_cannot_be_saved_comes_back_with_a_reason(
    owner_client: FlaskClient, draft: Campaign, field: str, value: str
) -> None:
    response = submit(owner_client, edit_path(draft), {field: value, "body": "kept"})
    assert response.status_code == 422
    assert "kept" in response.text
    assert 'aria-invalid="true"' in response.text
    assert reload(draft).version == 1


def test_a_save_that_comes_second_is_refused_and_both_texts_are_shown(
    owner_client: FlaskClient, draft: Campaign
) -> None:
    mine = {**form_fields(owner_client, draft), "body": "my words"}
    save_draft(draft.id, draft_with(body="their words"), version=1)
    response = owner_client.post(edit_path(draft), data=mine)
    assert response.status_code == 409
    assert "my words" in response.text
    assert "their words" in response.text
    assert reload(draft).body == "their words"

    mine["version"] = "2"
    assert owner_client.post(edit_path(draft), data=mine).status_code == 303
    assert reload(draft).body == "my words"


def test_autosave_answers_with_the_new_version(owner_client: FlaskClient, draft: Campaign) -> None:
    fields = {**form_fields(owner_client, draft), "subject": "자동"}
    path = f"/campaigns/{draft.id}/autosave"
    first = owner_client.post(path, data=fields)
    assert first.status_code == 200
    assert first.json["version"] == 2
    assert "KB" in first.json["message"]
    assert owner_client.post(path, data=fields).json["version"] == 2, "a repeated request changes nothing"
    assert owner_client.post(path, data={**fields, "subject": "anders"}).status_code == 409
    assert owner_client.post(path, data={**fields, "version": "2", "reply_to": "x"}).json["errors"]["reply_to"]


def test_the_size_in_the_composer_is_that_of_the_tracked_mail(owner_client: FlaskClient, draft: Campaign) -> None:
    links = " ".join(f"[more](https://example.com/{number})" for number in range(500))
    fields = {**form_fields(owner_client, draft), "body": links}
    path = f"/campaigns/{draft.id}/autosave"
    untracked = owner_client.post(path, data=fields).json
    tracked = owner_client.post(path, data={**fields, "version": untracked["version"], "tracks_clicks": "y"}).json
    sizes = [int(str(answer["message"]).rpartition("·")[2].split("/")[0]) for answer in (untracked, tracked)]
    assert sizes[1] >= sizes[0] + 20


@pytest.mark.both_databases
def test_saving_the_same_keeps_the_version_so_a_test_stays_valid(app: Flask, draft: Campaign) -> None:
    version = save_draft(draft.id, draft_with(), version=1)
    assert save_draft(draft.id, draft_with(), version=1) == version == 2
    with pytest.raises(DraftConflict):
        save_draft(draft.id, draft_with(subject="other"), version=1)


def test_a_launched_campaign_is_locked(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(state="sending")
    with pytest.raises(Conflict):
        save_draft(campaign.id, draft_with(), version=1)
    assert owner_client.get(edit_path(campaign)).location == f"/campaigns/{campaign.id}"
    page = owner_client.get(f"/campaigns/{campaign.id}").text
    assert f"/campaigns/{campaign.id}/duplicate" in page
    assert 'name="subject"' not in page


def test_a_copy_is_a_draft_of_its_own(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    original = make_campaign(state="sent", subject="원본", version=7, tested_version=7)
    response = submit(owner_client, "/campaigns", {}, action=f"/campaigns/{original.id}/duplicate")
    copy = db.session.get_one(Campaign, int(response.location.split("/")[2]))
    assert (copy.subject, copy.state, copy.version, copy.tested_version) == ("원본", "draft", 1, None)


def test_only_drafts_can_be_deleted(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    draft, sent = make_campaign(), make_campaign(state="sent")
    draft_id, sent_id = draft.id, sent.id
    token = form_fields(owner_client, draft)["csrf_token"]
    for campaign_id in (draft_id, sent_id):
        owner_client.post(f"/campaigns/{campaign_id}/delete", data={"csrf_token": token})
    db.session.expire_all()
    assert db.session.get(Campaign, draft_id) is None
    assert db.session.get(Campaign, sent_id) is not None


def test_ended_campaigns_are_archived_and_come_back(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    sent = make_campaign(state="sent", subject="끝난 소식")
    submit(owner_client, "/campaigns", {}, action=f"/campaigns/{sent.id}/archive")
    assert "끝난 소식" not in owner_client.get("/campaigns").text
    assert "끝난 소식" in owner_client.get("/campaigns?tab=archived").text
    submit(owner_client, "/campaigns?tab=archived", {}, action=f"/campaigns/{sent.id}/unarchive")
    assert "끝난 소식" in owner_client.get("/campaigns").text


@pytest.mark.both_databases
def test_the_list_filters_by_state_and_words(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    make_campaign(subject="가을 소식")
    make_campaign(subject="겨울 100% 할인", state="sent")
    assert "가을 소식" in owner_client.get("/campaigns?tab=draft").text
    assert "겨울" not in owner_client.get("/campaigns?tab=draft").text
    assert "겨울" in owner_client.get("/campaigns?q=100%25").text
    assert "가을 소식" not in owner_client.get("/campaigns?q=100%25").text
    assert owner_client.get("/campaigns?tab=nonsense&before=x").status_code == 200


def test_long_lists_have_pages_in_both_directions(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    for number in range(53):
        make_campaign(subject=f"소식 {number:02}")
    first = owner_client.get("/campaigns").text
    assert "소식 52" in first
    assert "소식 02" not in first
    second = owner_client.get("/campaigns?before=4").text
    assert "소식 02" in second
    assert "after=3" in second
    assert "소식 52" in owner_client.get("/campaigns?after=3").text


def test_an_empty_site_says_what_a_campaign_is(owner_client: FlaskClient) -> None:
    assert 'class="empty"' in owner_client.get("/campaigns").text


def test_a_viewer_sees_but_does_not_write(app: Flask, draft: Campaign) -> None:
    viewer = log_in(app, make_user("vera@example.com", role="viewer", password=True))
    page = viewer.get(f"/campaigns/{draft.id}")
    assert page.status_code == 200
    assert "duplicate" not in page.text
    assert viewer.get(edit_path(draft)).status_code == 403


def test_an_editor_writes_but_sees_no_people(app: Flask, draft: Campaign) -> None:
    make_user("secret@example.com", name="비밀")
    editor = log_in(app, make_user("edit@example.com", role="editor", password=True))
    page = editor.get(edit_path(draft))
    assert page.status_code == 200
    assert "secret@example.com" not in page.text


def test_the_checks_page_names_what_blocks(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    make_users(3)
    campaign = make_campaign(subject="", body="{{ nmae }} [x](http://localhost/)")
    page = owner_client.get(f"/campaigns/{campaign.id}/check", headers={"Accept-Language": "en"}).text
    assert "There is no subject" in page
    assert "Did you mean “name”?" in page


@pytest.mark.both_databases
def test_the_checks_page_counts_people_who_would_see_a_gap(
    owner_client: FlaskClient, make_campaign: MakeCampaign
) -> None:
    remember_fields(["company"])
    make_users(3)
    make_user("with@example.com", attributes={"company": "네모"})
    campaign = make_campaign(body="{{ company }}")
    page = owner_client.get(f"/campaigns/{campaign.id}/check", headers={"Accept-Language": "en"}).text
    assert "4 recipients have no value for “company”" in page


@pytest.mark.both_databases
def test_attributes_with_korean_names_are_fields_like_any_other(
    owner_client: FlaskClient, make_campaign: MakeCampaign
) -> None:
    remember_fields(["도시.이름-1"])
    make_users(3)
    make_user("with@example.com", attributes={"도시.이름-1": "부산"})
    campaign = make_campaign(body="{{ 도시.이름-1 }}")
    page = owner_client.get(f"/campaigns/{campaign.id}/check", headers={"Accept-Language": "en"}).text
    assert "4 recipients have no value for “도시.이름-1”" in page


@pytest.mark.parametrize("number", ["999", "9223372036854775808", "99999999999999999999999"])
def test_a_campaign_that_is_not_there_is_not_found(owner_client: FlaskClient, number: str) -> None:
    assert owner_client.get(f"/campaigns/{number}/edit").status_code == 404
    assert owner_client.get(f"/campaigns?before={number}&after={number}").status_code == 200
