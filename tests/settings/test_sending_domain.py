"""The senders' page looks its domain up when asked to, in a task, and says of each record what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.celery import lane_length
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.site import Site
from tests.name_server import name_server
from tests.pages import submit
from tests.parts import run_queued_tasks

DOMAIN = "news.example.test"
RECORDS = {
    (DOMAIN, "MX"): ["10 mx.example.test."],
    (DOMAIN, "TXT"): ['"v=spf1 mx +all"'],
    (f"s1._domainkey.{DOMAIN}", "TXT"): [f'"v=DKIM1; p={"A" * 216}"'],
    (f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; p=reject; rua=mailto:dmarc@example.test"'],
}
PAGE = "/settings/senders"
FORM = "/settings/senders/check"

pytestmark = pytest.mark.both_databases


@pytest.fixture
def environ(environ: dict[str, str]) -> Iterator[dict[str, str]]:
    with name_server(RECORDS) as server:
        yield {**environ, "DNS_SERVER": server}


@pytest.fixture(autouse=True)
def site(app: Flask) -> None:
    db.session.add(Site(id=1, name="Dawn", language="en", sender_address=f"news@{DOMAIN}"))
    db.session.commit()


def row(page: str, record: str) -> str:
    """Return what stands in the table beside a record, as words."""
    found = re.search(rf'<tr><th[^>]* scope="row">{re.escape(record)}</th>(.*?)</tr>', page, re.DOTALL)
    assert found, page.split('id="records"')[1][:2_000]
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


def test_each_record_is_said_with_what_to_do(app: Flask, owner_client: FlaskClient) -> None:
    assert lane_length("mail.now") == 0
    answer = submit(owner_client, PAGE, {"selectors": "s1", "addresses": "192.0.2.7"}, action=FORM)
    assert (answer.status_code, answer.location) == (303, f"{PAGE}#records")
    shown = owner_client.get(PAGE).text
    assert "The records are being looked up." in shown
    assert '<noscript><meta http-equiv="refresh"' in shown
    assert run_queued_tasks(app, ["mail.now"]) == ["settings.run_check"]
    db.session.expire_all()  # the requests of a test share its session
    page = owner_client.get(PAGE).text
    assert row(page, "SPF") == "Wrong lets everybody send in your name (+all) End it with ~all or -all."
    assert row(page, "DKIM").startswith(f"Needs improvement the key at s1._domainkey.{DOMAIN} is short")
    assert row(page, "DMARC") == f"OK _dmarc.{DOMAIN} says p=reject —"
    assert row(page, "PTR").startswith("Wrong 192.0.2.7 has no name Ask whoever gave you the address")
    assert row(page, "Bounces (MX)") == f"OK {DOMAIN} takes mail —"
    assert "Looked up:" in page
    assert "http-equiv" not in page
    assert 'value="s1"' in page, "the next look begins with what the last was told"
    korean = owner_client.get(PAGE, headers={"Cookie": "language=ko"})
    assert korean.status_code == 200


def test_opening_the_page_asks_nobody(app: Flask, owner_client: FlaskClient) -> None:
    for _ in range(2):
        page = owner_client.get(PAGE).text
    assert "Looked up:" not in page
    assert lane_length("mail.now") == 0


def test_without_a_worker_the_page_says_so(owner_client: FlaskClient) -> None:
    submit(owner_client, PAGE, {}, action=FORM)
    with freeze(utcnow() + timedelta(seconds=11)):
        part = owner_client.get("/settings/senders/records", headers={"HX-Request": "true"}).text
    assert "No worker has picked it up yet." in part
    assert "hx-get" in part


@pytest.mark.parametrize(
    "fields", [{"selectors": "a b/c"}, {"addresses": "mail.example.test"}, {"addresses": "::1 " * 6}]
)
def test_what_cannot_be_looked_up_is_refused(owner_client: FlaskClient, fields: dict[str, str]) -> None:
    answer = submit(owner_client, PAGE, fields, action=FORM)
    assert answer.status_code == 422
    assert "Not looked up" in answer.text
    assert lane_length("mail.now") == 0
