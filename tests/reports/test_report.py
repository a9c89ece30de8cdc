"""The report: every recipient accounted for, why somebody did (not) get it, and the same as files."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import rounds
from campaigns.delivery.models import RateSample
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.people import make_user, make_users
from tests.reports.ledgers import LOST, NO_USER, SKIPPED, forget_user, settle_batch

pytestmark = pytest.mark.both_databases


def words(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def rows_of(client: FlaskClient, path: str) -> list[list[str]]:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))


@pytest.fixture
def ended(owner_client: FlaskClient) -> int:
    """Ten recipients of an ended campaign: one unknown, one lost, one skipped, the others taken; two left out."""
    make_users(9)
    make_user("gone@example.org", unsubscribed_at=utcnow())
    make_user("new@example.org", verified=False)
    campaign_id = launch_and_freeze(subject="November")
    settle_batch(campaign_id, 1, NO_USER, LOST, SKIPPED)
    settle_batch(campaign_id, 2)
    rounds.finish(campaign_id)
    return campaign_id


def test_accounts_for_everybody(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, f"/campaigns/{ended}/report")
    assert "12 candidates = 2 left out + 10 recipients" in page
    assert "10 recipients = 7 sent + 1 failed + 1 skipped + 0 cancelled + 1 not certain" in page
    assert "It adds up" in page
    assert "87.5%" in page


def test_names_the_people_of_whom_it_is_not_certain(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, f"/campaigns/{ended}/report")
    assert "Not certain: these mails have no answer" in page
    assert "person1@example.com The connection to the mail server was lost" in page


def test_says_why_people_were_left_out_skipped_or_refused(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, f"/campaigns/{ended}/report")
    assert "Unsubscribed 1" in page
    assert "Has not confirmed the address 1" in page
    assert "No such address (550 5.1.1) 1 Not tried again" in page


def test_refusals_come_with_the_servers_own_words(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, f"/campaigns/{ended}/report/failures")
    assert "1 mail was refused." in page
    assert "550 5.1.1 &lt;ada@example.com&gt;: user unknown" in page


def test_counts_by_domain(owner_client: FlaskClient, ended: int) -> None:
    assert "example.com 10 7 87.5% 1 0 1" in words(owner_client, f"/campaigns/{ended}/report/domains")


def test_says_that_a_running_campaign_still_changes(owner_client: FlaskClient) -> None:
    campaign_id = launch_and_freeze()
    assert "the numbers still change" in words(owner_client, f"/campaigns/{campaign_id}/report")


@pytest.mark.parametrize("tab", ["", "/failures", "/domains", "/people", "/content"])
def test_every_part_can_be_opened_before_anything_is_sent(owner_client: FlaskClient, tab: str) -> None:
    campaign_id = make_campaign()
    assert "There is nothing to report yet" in words(owner_client, f"/campaigns/{campaign_id}/report{tab}")


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("ada@example.com", "permanently refused"),
        (" PERSON1@example.com ", "It may have arrived"),
        ("person3@example.com", "The mail server has accepted the mail."),
        ("gone@example.org", "left out when the campaign started. Unsubscribed."),
        ("nobody@example.org", "No user has this address now"),
    ],
)
def test_says_why_one_address_did_or_did_not_get_it(
    owner_client: FlaskClient, ended: int, address: str, answer: str
) -> None:
    page = owner_client.get(f"/campaigns/{ended}/report/people", query_string={"q": address})
    assert answer in " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_says_when_somebody_came_after_the_recipients_were_counted(owner_client: FlaskClient, ended: int) -> None:
    late = make_user("late@example.org", created_at=utcnow() + timedelta(minutes=1)).id
    path = f"/campaigns/{ended}/report/people?q=late@example.org"
    assert "came after the recipients were counted" in words(owner_client, path)
    assert f'href="/users/{late}"' in owner_client.get(path).text


def test_finds_people_by_the_beginning_of_an_address_and_after_they_are_deleted(
    owner_client: FlaskClient, ended: int
) -> None:
    forget_user(ended, 4)
    page = words(owner_client, f"/campaigns/{ended}/report/people?q=person3@")
    assert "The mail server has accepted the mail." in page
    assert "person8@example.com" in words(owner_client, f"/campaigns/{ended}/report/people?q=person")


def test_lists_people_of_one_state(owner_client: FlaskClient, ended: int) -> None:
    page = words(owner_client, f"/campaigns/{ended}/report/people?state=uncertain")
    assert "person1@example.com" in page
    assert "person3@example.com" not in page


def test_pages_through_the_ledger_both_ways(owner_client: FlaskClient) -> None:
    make_users(119)
    campaign_id = launch_and_freeze()
    path = f"/campaigns/{campaign_id}/report/people"
    second = owner_client.get(f"{path}?after=50").text
    assert "person50@example.com" in second
    assert "person49@example.com" not in second
    assert f"{path}?state=all&amp;before=51" in second
    first = owner_client.get(f"{path}?state=all&before=51").text
    assert "person49@example.com" in first
    assert "person50@example.com" not in first
    assert 'rel="next"' not in owner_client.get(f"{path}?after=100").text


def test_people_who_may_not_see_addresses_see_them_masked(viewer_client: FlaskClient, ended: int) -> None:
    base = f"/campaigns/{ended}/report"
    pages = [viewer_client.get(base + tab).text for tab in ("", "/people", "/failures")]
    assert "per…@example.com" in pages[1]
    assert not [page for page in pages if re.search(r"(person\d|ada|gone|new)@example", page)]
    found = words(viewer_client, f"{base}/people?q=person1@example.com")
    assert "per…@example.com" in found
    assert "Number in the ledger" in found
    assert viewer_client.get(f"{base}/people.csv").status_code == 403


def test_the_beginning_of_an_address_is_no_way_to_guess_it(viewer_client: FlaskClient, ended: int) -> None:
    page = words(viewer_client, f"/campaigns/{ended}/report/people?q=person1@")
    assert "This address was not among the candidates." in page
    page = words(viewer_client, f"/campaigns/{ended}/report/people?q=nobody@example.org")
    assert "This address was not among the candidates." in page


def test_the_file_of_people_holds_every_candidate_once(owner_client: FlaskClient, ended: int) -> None:
    header, *rows = rows_of(owner_client, f"/campaigns/{ended}/report/people.csv")
    assert header[:3] == ["Address", "State", "Reason"]
    assert len(rows) == len({row[0] for row in rows}) == 12
    assert ["ada@example.com", "failed", "No such address", "1"] in [row[:4] for row in rows]
    assert len(rows_of(owner_client, f"/campaigns/{ended}/report/people.csv?state=failed")) == 2


def test_files_of_refusals_and_domains(owner_client: FlaskClient, ended: int) -> None:
    assert rows_of(owner_client, f"/campaigns/{ended}/report/failures.csv")[1][:4] == [
        "failed",
        "no_such_address",
        "No such address",
        "1",
    ]
    assert rows_of(owner_client, f"/campaigns/{ended}/report/domains.csv")[1] == [
        "example.com",
        "10",
        "7",
        "1",
        "0",
        "1",
    ]


def test_a_file_cannot_run_a_formula_in_a_spreadsheet(owner_client: FlaskClient) -> None:
    make_user("=cmd@example.com")
    make_user("+1+2@example.com")
    campaign_id = launch_and_freeze()
    cells = [row[0] for row in rows_of(owner_client, f"/campaigns/{campaign_id}/report/people.csv")[1:]]
    assert cells == ["ada@example.com", "'=cmd@example.com", "'+1+2@example.com"]


def test_mails_over_time_are_drawn_and_told_as_a_table(owner_client: FlaskClient, ended: int) -> None:
    start = utcnow().replace(second=0, microsecond=0)
    for window, sent in ((0, 100), (10, 300), (20, 50)):
        db.session.add(
            RateSample(campaign_id=ended, window_start=start + timedelta(seconds=window), sent=sent, failed=0)
        )
    db.session.commit()
    page = words(owner_client, f"/campaigns/{ended}/report")
    assert "Mails a second, from the first to the last." in page
    assert re.search(r"\d\d:\d\d:10 30 0", page)


def test_shows_the_content_in_a_frame_of_its_own(owner_client: FlaskClient, ended: int) -> None:
    page = owner_client.get(f"/campaigns/{ended}/report/content").text
    assert f'src="/campaigns/{ended}/preview"' in page
    assert "sandbox=" in page


def test_one_users_mails_come_newest_first(owner_client: FlaskClient) -> None:
    user = make_user("mina@example.com", name="Mina")
    older = launch_and_freeze(subject="October")
    newer = launch_and_freeze(subject="November")
    settle_batch(older, 1, NO_USER)
    page = words(owner_client, f"/users/{user.id}/mails")
    assert page.index("November") < page.index("October")
    assert "Sent" in page
    assert db.session.get(Campaign, newer) is not None


def test_one_users_mails_are_paged(owner_client: FlaskClient) -> None:
    user = make_user("mina@example.com")
    for number in range(52):
        launch_and_freeze(subject=f"News {number}")
    first = owner_client.get(f"/users/{user.id}/mails").text
    older = re.search(r"before=(\d+)", first)
    assert older is not None
    second = words(owner_client, f"/users/{user.id}/mails?before={older.group(1)}")
    assert "News 1 " in second
    assert "News 51" not in second


def test_nobody_without_the_right_reads_one_users_mails(viewer_client: FlaskClient) -> None:
    user = make_user("mina@example.com")
    assert viewer_client.get(f"/users/{user.id}/mails").status_code == 403
