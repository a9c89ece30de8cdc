"""What the report, the list, the files and one person's page say of openings and clicks."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest

from campaigns.web_extensions import limiter
from tests.people import log_in, make_user, make_users
from tests.tracking.mails import follow, later, picture, send_tracked, tracked_links

NEWS, HELP = "https://example.com/news?a=1&b=2", "https://help.example.org/faq#top"


@pytest.fixture
def reader(app):
    limiter.enabled = False
    yield log_in(app, make_user("owner@example.org", role="owner", password=True, language="en", verified=True))
    limiter.enabled = True


@pytest.fixture
def clicked(app, sink, client, reader) -> int:
    """Of four people and the owner two opened and clicked, one of them twice; a machine came before another."""
    make_users(4)
    campaign_id = send_tracked()
    follow(client, tracked_links(sink, 3)[1])
    with later():
        follow(client, picture(sink, 0))
        follow(client, picture(sink, 1))
        follow(client, tracked_links(sink, 0)[0])
    with later(hours=2):
        follow(client, tracked_links(sink, 0)[1])
        follow(client, tracked_links(sink, 1)[0])
    return campaign_id


def words(html: str) -> str:
    """A page's words, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.both_databases
def test_the_summary_says_how_many_people_and_which_share(reader, clicked):
    page = words(reader.get(f"/campaigns/{clicked}/report").text)
    assert "Opened, estimated 40% 2 people. Some mail programs load no pictures" in page
    assert "Clicked 40% 2 people who got it" in page
    assert "By machines 1 " in page


@pytest.mark.both_databases
def test_each_link_is_listed_with_people_clicks_and_machines(reader, clicked):
    page = words(reader.get(f"/campaigns/{clicked}/report/links").text)
    assert f"{NEWS} 2 40% 2 0 {HELP} 1 20% 1 1" in page
    file = reader.get(f"/campaigns/{clicked}/report/links.csv")
    assert rows_of(file.text) == [
        ["Link", "People", "Clicks", "By machines"], [NEWS, "2", "2", "0"], [HELP, "1", "1", "1"],
    ]  # fmt: skip


def test_a_campaign_that_was_not_tracked_says_so(reader, app, sink):
    sent = send_tracked(opens=False, clicks=False)
    assert "Opened and clicked — This campaign was not tracked." in words(reader.get(f"/campaigns/{sent}/report").text)
    links = words(reader.get(f"/campaigns/{sent}/report/links").text)
    assert "This campaign was not tracked" in links
    assert "Download CSV" not in links
    person = words(reader.get(f"/campaigns/{sent}/report/people/1").text)
    assert "Opened and clicked" not in person


def test_only_what_is_tracked_has_a_tile(reader, app, sink):
    sent = send_tracked(opens=False)
    page = words(reader.get(f"/campaigns/{sent}/report").text)
    assert "Opened, estimated" not in page
    assert "Clicked 0% 0 people" in page


def test_a_campaign_without_links_says_so(reader, app, sink):
    sent = send_tracked(body="No link here.")
    assert "its mail has no link that can be counted" in words(reader.get(f"/campaigns/{sent}/report/links").text)


def test_the_list_has_clicks_once_a_campaign_counts_them(reader, app, sink):
    send_tracked(opens=True, clicks=False)
    assert "Clicked" not in words(reader.get("/campaigns").text)


def test_the_list_shows_the_share_that_clicked(reader, clicked):
    page = words(reader.get("/campaigns").text)
    assert "Sent Clicked Date" in page
    assert " 5 5 40% " in page


def test_one_persons_page_says_what_they_opened_and_clicked(reader, clicked, sink):
    position = 2 if sink.mails[0].recipient == "person1@example.com" else 1
    page = words(reader.get(f"/campaigns/{clicked}/report/people/{position}").text)
    assert re.search(rf"Opened, estimated .{{10,40}} 1 0 {re.escape(NEWS)} .{{10,40}} 1 0 {re.escape(HELP)}", page)


def test_the_file_of_people_says_when_each_first_opened_and_clicked(reader, clicked, sink):
    header, *rows = rows_of(reader.get(f"/campaigns/{clicked}/report/people.csv").text)
    assert header[-2:] == ["First opened (UTC)", "First clicked (UTC)"]
    known = {row[0]: (bool(row[-2]), bool(row[-1])) for row in rows}
    expected = {sink.mails[number].recipient: (number < 2, number < 2) for number in range(5)}
    assert known == expected


def test_the_file_of_links_stands_in_the_activity_log(reader, clicked):
    reader.get(f"/campaigns/{clicked}/report/links.csv")
    assert "Downloaded the links of a campaign" in words(reader.get("/audit").text)
