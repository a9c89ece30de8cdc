"""The activity log's page: who may see it, what it says, its filters, and its file."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audit.check_services import check_log
from campaigns.audit.models import AuditEntry
from campaigns.audit.queries import PAGE_SIZE
from campaigns.audit.services import Actor, Target, record_action
from campaigns.clock import freeze
from campaigns.extensions import db
from tests.audit.entries import add_entries, attack
from tests.people import log_in, make_user

pytestmark = pytest.mark.both_databases


@pytest.fixture
def owner_client(owner_client: FlaskClient) -> FlaskClient:
    """An owner who reads English."""
    owner_client.set_cookie("language", "en")
    return owner_client


def record(action: str, kind: str, number: object, name: str, **values) -> None:
    record_action(action, Target(kind, str(number), name), **values)
    db.session.commit()


@pytest.fixture
def minji(app: Flask) -> Actor:
    return Actor(7, "minji@example.com", "203.0.113.9")


@pytest.fixture
def entries(minji: Actor) -> None:
    with freeze(datetime(2026, 3, 1, 12, tzinfo=UTC)):
        record(
            "campaign.edited", "campaign", 12, "봄 소식", before={"subject": "겨울"}, after={"subject": "봄"}, by=minji
        )
    with freeze(datetime(2026, 3, 5, 12, tzinfo=UTC)):
        record("user.seen", "user", 3, "k***@example.com", by=minji)
    record("import.finished", "import", 4, "people.csv", after={"added": 12345})


@pytest.mark.usefixtures("entries")
def test_an_entry_says_who_did_what_to_which_object_when_from_where_and_how(owner_client: FlaskClient):
    page = owner_client.get("/audit?actor=minji@example.com&kind=campaign").text
    for said in ("Changed a campaign", "봄 소식", "minji@example.com", "203.0.113.9", "Subject", "겨울", "1 Mar 2026"):
        assert said in page
    assert "people.csv" not in page
    assert "12,345" in owner_client.get("/audit?kind=import").text


def test_roles_are_called_by_their_names_and_days_are_no_people(owner_client: FlaskClient, minji: Actor) -> None:
    change = {"before": {"role": "viewer"}, "after": {"role": "sender"}}
    record("user.role_changed", "user", 3, "kim@example.com", by=minji, **change)
    owner_client.set_cookie("language", "ko")
    page = owner_client.get("/audit?action=user.role_changed&since=2026-03-01").text
    assert "<del>조회자</del>" in page
    assert "<ins>발송자</ins>" in page
    assert "시작일: 2026-03-01" in page
    assert "보내는 사람" not in page


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("actor=minji@example.com", ["Viewed a user", "Changed a campaign"]),
        ("actor=MINJI@example.com", ["Viewed a user", "Changed a campaign"]),
        ("action=user.seen", ["Viewed a user"]),
        ("kind=user", ["Logged in", "Viewed a user"]),
        ("kind=user&id=3", ["Viewed a user"]),
        ("kind=user&id=4", []),
        ("since=2026-03-02&until=2026-03-05", ["Viewed a user"]),
        ("until=2026-03-04", ["Changed a campaign"]),
        ("since=2026-03-01&until=2026-03-01", ["Changed a campaign"]),
        ("since=2126-01-01", []),
        ("since=nonsense&kind=user&id=3", ["Viewed a user"]),
        ("action=no.such", []),
    ],
)
def test_filters(owner_client: FlaskClient, query: str, expected: list[str]):
    page = owner_client.get(f"/audit?{query}").text
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    shown = [line.partition('scope="row">')[2].split("<")[0].strip() for line in body.split("<tr>")[1:]]
    assert shown == expected


def test_pages_go_back_and_forth_without_gaps(owner_client: FlaskClient):
    add_entries(2 * PAGE_SIZE + 5)
    everything = db.session.scalars(select(AuditEntry.id).where(AuditEntry.action == "campaign.paused")).all()
    url, seen, pages = "/audit?action=campaign.paused", [], []
    while url:
        page = owner_client.get(url).text
        pages.append(page)
        seen += [int(part.split("<")[0]) for part in page.split("소식 ")[1:]]
        url = link(page, "next")
    assert seen == list(range(len(everything), 0, -1))
    back = owner_client.get(link(pages[-1], "prev")).text
    assert (
        back.partition("<tbody>")[2].partition("</tbody>")[0]
        == pages[1].partition("<tbody>")[2].partition("</tbody>")[0]
    )


def link(page: str, rel: str) -> str:
    part = page.partition(f'rel="{rel}" href="')[2]
    return part.partition('"')[0].replace("&amp;", "&")


def test_names_that_people_chose_cannot_become_markup(owner_client: FlaskClient):
    record(
        "campaign.edited",
        "campaign",
        1,
        "<script>alert(1)</script>",
        after={"subject": "<b>x</b>"},
        reason="<i>why</i>",
    )
    page = owner_client.get("/audit").text
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;x" in page
    assert "<i>why" not in page


def test_an_object_is_linked_for_those_who_may_look_at_it(app: Flask, owner_client: FlaskClient):
    add_entries(1)
    record("settings.changed", "setting", "rate", "rate")
    page = owner_client.get("/audit").text
    assert 'href="/campaigns/1"' in page
    admin = log_in(app, make_user("admin@example.com", role="admin", password=True))
    assert 'href="/campaigns/1"' in admin.get("/audit").text


@pytest.mark.parametrize("role", ["sender", "editor", "viewer", None])
def test_others_do_not_see_it(app: Flask, owner: User, role: str | None):
    client = log_in(app, make_user("else@example.com", role=role, password=True))
    assert client.get("/audit").status_code == 403
    assert client.get("/audit.csv").status_code == 403


@pytest.mark.usefixtures("entries")
def test_the_file_holds_what_the_page_shows_and_is_itself_written_down(owner_client: FlaskClient):
    answer = owner_client.get("/audit.csv?actor=minji@example.com&why=monthly review")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row[4] for row in rows[1:]] == ["campaign.edited", "user.seen"]
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "audit.exported")).one()
    assert entry.after == {"rows": 2, "filters": {"actor": "minji@example.com"}}
    assert (entry.reason, entry.actor) == ("monthly review", "ada@example.com")


def test_a_broken_log_is_said_on_the_page_and_the_dashboard(app: Flask, owner_client: FlaskClient):
    add_entries(3)
    assert "tampered" not in owner_client.get("/").text
    attack("DELETE FROM audit_entry WHERE sequence = 2")
    app.extensions["celery"].tasks["audit.check"]()
    for path in ("/", "/audit"):
        page = owner_client.get(path).text
        assert "tampered" in page
        assert "entry 2 is missing" in page


def test_the_page_seals_what_it_shows(owner_client: FlaskClient):
    add_entries(2, sealed=False)
    page = owner_client.get("/audit").text
    assert "Waits for its seal" not in page
    verdict = check_log()
    assert verdict.problem is None
    assert verdict.entries >= 2


def test_a_day_begins_in_the_readers_zone(app: Flask, minji: Actor):
    reader = make_user("reader@example.com", role="owner", password=True, timezone="Asia/Seoul")
    with freeze(datetime(2026, 3, 1, 14, 59, tzinfo=UTC)):
        record("campaign.paused", "campaign", 1, "einundzwanzig", by=minji)
    with freeze(datetime(2026, 3, 1, 15, 1, tzinfo=UTC)):
        record("campaign.paused", "campaign", 2, "zweiundzwanzig", by=minji)
    page = log_in(app, reader).get("/audit?since=2026-03-02&until=2026-03-02").text
    assert "zweiundzwanzig" in page
    assert "einundzwanzig" not in page
