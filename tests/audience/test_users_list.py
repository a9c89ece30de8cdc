"""The list of people: tabs, search, pages, and who may see whose address."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.audience import people_list
from campaigns.audience.models import Suppression
from campaigns.audience.people_list import PAGE_SIZE, Search, list_users
from campaigns.audience.queries import UserState, count_receivers, count_users, sample_users
from campaigns.clock import utcnow
from campaigns.extensions import db
from tests.people import make_user, make_users


@pytest.fixture
def people(app: Flask) -> None:
    """One of each state; somebody suppressed and unsubscribed counts as suppressed, as in the freeze."""
    make_user("gets@example.com", name="김하늘")
    make_user("new@example.com", name="Nora New", verified=False)
    make_user("gone@example.com", name="Gone Girl", unsubscribed_at=utcnow())
    make_user("bounced@example.com", name="Bob Bounce", unsubscribed_at=utcnow())
    db.session.add(Suppression(address_key="bounced@example.com", reason="hard_bounce"))
    db.session.add(Suppression(address_key="unknown@example.com", reason="by_hand"))
    db.session.commit()


def addresses(html: str) -> list[str]:
    return sorted(set(re.findall(r"[\w.…+-]+@example\.com", html)))


def found(text: str, state: UserState | None = None, **options: bool) -> list[str]:
    return [row.user.email for row in list_users(state, Search(text, **options)).rows]


def test_each_tab_shows_its_people_and_their_number(people: None, owner_client: FlaskClient) -> None:
    page = owner_client.get("/users").text
    assert addresses(page) == ["bounced@example.com", "gets@example.com", "gone@example.com", "new@example.com"]
    for state, address in [
        ("unverified", "new"), ("unsubscribed", "gone"), ("suppressed", "bounced"), ("active", "gets"),
    ]:  # fmt: skip
        assert addresses(owner_client.get(f"/users?state={state}").text) == [f"{address}@example.com"]
    assert re.findall(r'<span class="count">(\d+)</span>', page) == ["5", "2", "1", "1", "1"]


@pytest.mark.both_databases
def test_the_counts_are_those_of_the_tabs(people: None) -> None:
    counts = count_users()
    assert (counts.all, counts.active, counts.unverified, counts.unsubscribed, counts.suppressed) == (4, 1, 1, 1, 1)
    assert count_receivers() == 1
    assert [user.email for user in sample_users(5)] == ["gets@example.com"]
    for state in UserState:
        assert [row.state for row in list_users(state).rows] == [state]


@pytest.mark.both_databases
def test_pages_go_on_and_back_without_leaving_anybody_out(app: Flask) -> None:
    make_users(2 * PAGE_SIZE + 7)
    first = list_users()
    second = list_users(before=first.older)
    third = list_users(before=second.older)
    assert [len(page.rows) for page in (first, second, third)] == [PAGE_SIZE, PAGE_SIZE, 7]
    assert (first.newer, third.older) == (None, None)
    ids = [row.user.id for page in (first, second, third) for row in page.rows]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 2 * PAGE_SIZE + 7
    back = list_users(after=third.newer)
    assert [row.user.id for row in back.rows] == [row.user.id for row in second.rows]
    assert [row.user.id for row in list_users(after=back.newer).rows] == [row.user.id for row in first.rows]


def test_a_page_stays_the_same_when_people_are_added_meanwhile(app: Flask) -> None:
    make_users(PAGE_SIZE + 5)
    first = list_users()
    before = [row.user.id for row in list_users(before=first.older).rows]
    make_users(3, prefix="late")
    assert [row.user.id for row in list_users(before=first.older).rows] == before


def test_the_links_to_other_pages_keep_tab_and_search(owner_client: FlaskClient) -> None:
    make_users(PAGE_SIZE + 2)
    page = owner_client.get("/users?state=active&q=person").text
    href = re.search(r'rel="next" href="([^"]+)"', page)
    assert href
    following = owner_client.get(href.group(1).replace("&amp;", "&"))
    assert len(addresses(following.text)) == 2
    assert 'rel="prev"' in following.text
    assert 'value="person"' in following.text
    assert 'aria-current="page">Receiving' in following.text


@pytest.mark.both_databases
@pytest.mark.parametrize("everybody_is_read", [True, False])
def test_people_are_found_by_address_and_name(
    people: None, monkeypatch: pytest.MonkeyPatch, everybody_is_read: bool
) -> None:
    monkeypatch.setattr(people_list, "READ_IN_FULL", 10**9 if everybody_is_read else 0)
    assert found("gets@") == ["gets@example.com"]
    assert found("GETS@Example.com") == ["gets@example.com"]
    assert found("김하") == ["gets@example.com"]
    assert found("nora") == ["new@example.com"]
    assert found("NORA  new ") == ["new@example.com"]
    # What begins nowhere is looked for in the middle.
    assert found("하늘") == ["gets@example.com"]
    assert found("bounce", UserState.SUPPRESSED) == ["bounced@example.com"]
    assert found("bounce", UserState.ACTIVE) == []
    assert len(found("@example.com")) == 4
    assert found("nobody") == []


@pytest.mark.both_databases
def test_a_large_site_looks_in_the_middle_only_when_asked_or_when_nothing_begins_so(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("kim@example.com", name="Kim")
    make_user("joachim@example.com", name="Joakim")
    assert found("kim") == ["joachim@example.com", "kim@example.com"]
    monkeypatch.setattr(people_list, "READ_IN_FULL", 0)
    assert found("kim") == ["kim@example.com"]
    assert found("kim", everywhere=True) == ["joachim@example.com", "kim@example.com"]
    assert found("achim") == ["joachim@example.com"]


def test_the_page_offers_to_look_further(owner_client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make_user("kim@example.com")
    make_user("joakim@example.com")
    monkeypatch.setattr(people_list, "READ_IN_FULL", 0)
    page = owner_client.get("/users?q=kim").text
    assert addresses(page) == ["kim@example.com"]
    assert "Look inside them too" in page
    assert len(addresses(owner_client.get("/users?q=kim&where=everywhere").text)) == 2


@pytest.mark.both_databases
@pytest.mark.parametrize("text", ["%", "_", "\\", "'", '"', "%%", "a%b", "\\%", "' OR 1=1 --"])
@pytest.mark.parametrize("everybody_is_read", [True, False])
def test_signs_of_patterns_mean_themselves(
    app: Flask, monkeypatch: pytest.MonkeyPatch, text: str, everybody_is_read: bool
) -> None:
    make_users(3)
    monkeypatch.setattr(people_list, "READ_IN_FULL", 10**9 if everybody_is_read else 0)
    assert found(text) == []
    make_user("odd@example.com", name=f"x{text}y")
    assert found(text) == ["odd@example.com"]


@pytest.mark.parametrize(
    "query",
    [
        "q=%00", "q=" + "a" * 5000, "q=%F0%9F%98%80", "q=%FF%FE", "q=%0D%0Ax", "before=x", "before=-5", "before=0",
        "before=" + "9" * 40, "after=" + "9" * 40, "state=everything", "state=active&state=x", "where=no",
        "q=&before=&after=", "q=%E1%84%80%E1%85%B5%E1%86%B7",
    ],
)  # fmt: skip
@pytest.mark.both_databases
def test_odd_addresses_of_the_page_are_answered(people: None, owner_client: FlaskClient, query: str) -> None:
    assert owner_client.get(f"/users?{query}").status_code == 200


def test_decomposed_hangul_finds_what_was_typed_composed(people: None) -> None:
    assert found("\u1100\u1175\u11b7\u1112\u1161") == ["gets@example.com"]


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_who_may_not_see_addresses_sees_them_masked(
    people: None, client_with_role: Callable[[str], FlaskClient], role: str
) -> None:
    client = client_with_role(role)
    page = client.get("/users").text
    assert "김하늘" in page
    assert "gets@example.com" not in page
    assert "ge…@example.com" in page
    assert "/users/1" not in page
    assert "Add a user" not in page


@pytest.mark.parametrize("everybody_is_read", [True, False])
def test_a_masked_address_cannot_be_spelled_out_by_searching(
    people: None,
    client_with_role: Callable[[str], FlaskClient],
    monkeypatch: pytest.MonkeyPatch,
    everybody_is_read: bool,
) -> None:
    monkeypatch.setattr(people_list, "READ_IN_FULL", 10**9 if everybody_is_read else 0)
    client = client_with_role("viewer")
    for guess in ("get", "gets@", "@example.com", "ets@example.com"):
        assert "김하늘" not in client.get("/users", query_string={"q": guess}).text
    assert "김하늘" in client.get("/users?q=Gets@example.com").text
    assert "김하늘" in client.get("/users", query_string={"q": "하늘"}).text


def test_senders_see_addresses_and_may_change_nothing(
    people: None, client_with_role: Callable[[str], FlaskClient]
) -> None:
    page = client_with_role("sender").get("/users").text
    assert "gets@example.com" in page
    assert "Add a user" not in page


def test_names_are_text_and_never_markup(owner_client: FlaskClient) -> None:
    make_user("x@example.com", name="<script>alert(1)</script>")
    page = owner_client.get("/users?q=<script>").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_an_empty_tab_and_an_empty_search_say_what_that_means(owner_client: FlaskClient) -> None:
    assert "Every announcement carries a link to unsubscribe." in owner_client.get("/users?state=unsubscribed").text
    assert "Nobody found" in owner_client.get("/users?q=zzz").text
    assert "The list ends here" in owner_client.get("/users?before=1").text


def test_the_order_is_the_newest_first_and_each_row_says_since_when(app: Flask, owner_client: FlaskClient) -> None:
    long_ago = utcnow() - timedelta(days=400)
    make_user("old@example.com", created_at=long_ago)
    make_user("young@example.com")
    page = owner_client.get("/users").text
    assert page.index("young@example.com") < page.index("old@example.com")
    assert long_ago.isoformat(timespec="seconds") in page


def test_an_address_page_number_is_no_person(owner_client: FlaskClient, owner: User) -> None:
    for number in ("0", "999", "9" * 30):
        assert owner_client.get(f"/users/{number}").status_code == 404


def test_a_new_site_says_how_people_come_in(owner_client: FlaskClient) -> None:
    page = owner_client.get("/users").text
    assert "No users yet except the people who run the site" in page
    assert 'href="/users/new"' in page
    make_user("first@example.com")
    assert "No users yet" not in owner_client.get("/users").text
