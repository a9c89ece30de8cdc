"""The preview shows what would arrive, in a frame where nothing of it can run."""

from __future__ import annotations

import email
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.clock import freeze
from campaigns.compose.models import Campaign
from campaigns.extensions import db
from tests.pages import forms_of, submit
from tests.people import log_in, make_user

MakeCampaign = Callable[..., Campaign]


def preview(client: FlaskClient, campaign: Campaign, query: str = "") -> str:
    response = client.get(f"/campaigns/{campaign.id}/preview{query}")
    assert response.status_code == 200
    return response.text


def test_it_is_filled_in_for_a_made_up_person(owner_client: FlaskClient, draft: Campaign) -> None:
    assert "안녕하세요 김하늘님" in preview(owner_client, draft)
    assert "안녕하세요 님" in preview(owner_client, draft, "?as=empty")


def test_the_day_is_that_of_the_site_in_the_language_of_the_campaign(
    owner_client: FlaskClient, make_campaign: MakeCampaign
) -> None:
    campaign = make_campaign(subject="{{ date }}", body="Sent on {{ date }}.", language="en")
    with freeze(datetime(2026, 11, 22, 15, 30, tzinfo=UTC)):  # half past midnight in Seoul
        assert "Sent on November 23, 2026." in preview(owner_client, campaign)
        assert "Sent on November 23, 2026." in preview(owner_client, campaign, "?as=empty")
        page = owner_client.get(f"/campaigns/{campaign.id}/edit", headers={"Accept-Language": "en"}).text
    assert "The day on which it is sent" in page


@pytest.mark.parametrize("view", ["desktop", "phone", "dark", "text"])
def test_the_inbox_line_is_that_of_what_is_being_written(owner_client: FlaskClient, draft: Campaign, view: str) -> None:
    """Above the mail, in every view, with the values of the same person as the rest; nothing of it is saved yet."""
    path = f"/campaigns/{draft.id}"
    fields = {"subject": "{{ name }} & <b>", "preheader": "Look", "sender_name": "Dawn", "preview_mode": view}
    form = next(form for form in forms_of(owner_client.get(f"{path}/edit").text) if "version" in form["fields"])
    page = owner_client.post(f"{path}/preview", data={**form["fields"], **fields}).text
    line = page.split('class="inbox-line"')[1].split("</div></div>")[0]
    assert "김하늘 &amp; &lt;b&gt;" in line
    assert ">Dawn<" in line
    assert line.endswith(">Look")
    assert page.index("<body") < page.index("inbox-line")


def test_it_has_a_policy_of_its_own_without_scripts(owner_client: FlaskClient, draft: Campaign) -> None:
    for response in (
        owner_client.get(f"/campaigns/{draft.id}/preview"),
        submit(owner_client, f"/campaigns/{draft.id}/edit", {"body": "x"}, action=f"/campaigns/{draft.id}/edit"),
    ):
        if response.status_code == 200:
            policy_header = response.headers["Content-Security-Policy"]
            assert "sandbox" in policy_header
            assert "script-src" not in policy_header
            assert "default-src 'none'" in policy_header


def test_unsaved_text_is_shown_and_not_saved(owner_client: FlaskClient, draft: Campaign) -> None:
    path = f"/campaigns/{draft.id}"
    page = owner_client.get(f"{path}/edit").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    fields = {"csrf_token": token, "subject": "s", "body": "아직 저장 안 함", "language": "ko", "preview_mode": "text"}
    response = owner_client.post(f"{path}/preview", data=fields)
    assert response.status_code == 200
    assert "아직 저장 안 함" in response.text
    assert "sandbox" in response.headers["Content-Security-Policy"]
    db.session.expire_all()
    assert "아직" not in db.session.get_one(Campaign, draft.id).body


def test_each_view_is_one_scheme_and_one_layout(owner_client: FlaskClient, draft: Campaign) -> None:
    desktop, phone, dark = (preview(owner_client, draft, f"?view={view}") for view in ("desktop", "phone", "dark"))
    assert (desktop.count("@media not all"), desktop.count("@media (max-width: 380px)")) == (1, 1)
    assert (phone.count("@media all"), phone.count("@media not all")) == (1, 1)
    assert (dark.count("@media all"), dark.count("@media (max-width: 380px)")) == (1, 1)
    assert all('<base target="_blank">' in page for page in (desktop, phone, dark))


def test_the_text_view_is_escaped(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    page = preview(owner_client, make_campaign(body="<script>alert(1)</script> & <b>"), "?view=text")
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_the_source_view_shows_a_whole_mail(owner_client: FlaskClient, draft: Campaign) -> None:
    page = preview(owner_client, draft, "?view=source")
    assert "Content-Type: multipart/alternative" in page
    assert "Subject: =?utf-8?" in page


def test_mistakes_are_named_in_the_frame(owner_client: FlaskClient, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(subject="{{ nmae }}", body="a\n{% if x %}")
    response = owner_client.get(f"/campaigns/{campaign.id}/preview", headers={"Accept-Language": "en"})
    assert "Did you mean “name”?" in response.text
    assert "Line 2, column 1" in response.text


def test_people_s_values_are_for_those_who_may_see_people(app: Flask, draft: Campaign) -> None:
    person = make_user("secret@example.com", name="비밀 이름")
    editor = log_in(app, make_user("edit@example.com", role="editor", password=True))
    assert "비밀 이름" not in preview(editor, draft, f"?as={person.id}")
    sender = log_in(app, make_user("send@example.com", role="sender", password=True))
    assert "비밀 이름" in preview(sender, draft, f"?as={person.id}")


@pytest.mark.parametrize("query", ["?view=nonsense", "?as=99999", "?as=-1", "?view=%00&as=%00"])
def test_nonsense_in_the_address_does_no_harm(owner_client: FlaskClient, draft: Campaign, query: str) -> None:
    assert "김하늘" in preview(owner_client, draft, query)


def test_the_mail_can_be_downloaded(owner_client: FlaskClient, draft: Campaign) -> None:
    response = owner_client.get(f"/campaigns/{draft.id}/message.eml")
    message = email.message_from_bytes(response.data, policy=policy.default)
    assert message["Subject"] == "11월 소식"
    html = message.get_body(("html",))
    assert html is not None
    assert "안녕하세요 김하늘님" in html.get_content()
    assert "attachment" in response.headers["Content-Disposition"]


def test_the_unsubscribe_link_of_a_preview_explains_itself(client: FlaskClient) -> None:
    assert client.get("/p/test-link").status_code == 200
