"""The inbox of trial mode, as a page. That there is none with a mail server: test_health.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from campaigns.config import load_settings
from campaigns.ops.inbox import InboxWriter, inbox_path, inbox_row
from tests.people import log_in, make_user

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MULTIPART = """\
From: Carillon <news@example.com>\r
To: kim@example.com\r
Subject: =?utf-8?b?7JWI64WV7ZWY7IS47JqU?=\r
MIME-Version: 1.0\r
Content-Type: multipart/alternative; boundary="b"\r
\r
--b\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
안녕하세요 <b>not bold</b>\r
http://carillon.example.test/verify?token=1&x=2\r
--b\r
Content-Type: text/html; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
<html><head><title>x</title></head><body><script>alert(1)</script><a href="http://carillon.example.test/verify">확인</a>\r
<img src="https://tracker.example.org/p.png"></body></html>\r
--b--\r
"""


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "MAIL_SERVER": ""}


def catch(app: Flask, *mails: tuple[str, str]) -> None:
    writer = InboxWriter(inbox_path(app.extensions["carillon.settings"].instance_dir))
    rows = [
        inbox_row(
            received_at=START + timedelta(minutes=number),
            sender="news@example.com",
            recipient=recipient,
            content=source.encode(),
        )
        for number, (recipient, source) in enumerate(mails)
    ]
    writer.write(rows)
    writer.close()


def plain(subject: str) -> str:
    return f"Subject: {subject}\r\n\r\nbody\r\n"


def test_the_inbox_is_public_in_trial_mode_and_says_so_when_empty(client: FlaskClient) -> None:
    page = client.get("/inbox", headers={"Accept-Language": "en"})
    assert page.status_code == 200
    assert "No mail yet" in page.text


def test_the_newest_mail_comes_first_and_pages_hold_fifty(app: Flask, client: FlaskClient) -> None:
    catch(app, *((f"p{n}@example.com", plain(f"Subject {n:03}")) for n in range(1, 121)))
    first = client.get("/inbox")
    assert first.text.count('<th scope="row">') == 50
    assert first.text.index("Subject 120") < first.text.index("Subject 071")
    assert "Subject 070" not in first.text
    second = client.get("/inbox?older=71")
    assert "Subject 070" in second.text
    assert "Subject 021" in second.text
    last = client.get("/inbox?older=21")
    assert last.text.count('<th scope="row">') == 20
    assert 'rel="next"' not in last.text
    back = client.get("/inbox?newer=70")
    assert back.text.count('<th scope="row">') == 50
    assert "Subject 120" in back.text


def test_search_finds_parts_of_recipients_and_subjects_and_takes_no_wildcards(app: Flask, client: FlaskClient) -> None:
    catch(app, ("kim@example.com", plain("Welcome")), ("lee@example.com", plain("50%25 off")))
    assert "kim@example.com" in client.get("/inbox?q=KIM").text
    assert "lee@example.com" not in client.get("/inbox?q=welc").text
    assert client.get("/inbox?q=%25", headers={"Accept-Language": "en"}).text.count('<th scope="row">') == 1
    assert "No mail found" in client.get("/inbox?q=nobody", headers={"Accept-Language": "en"}).text


def test_a_mail_shows_who_what_and_its_parts(app: Flask, client: FlaskClient) -> None:
    catch(app, ("kim@example.com", MULTIPART))
    page = client.get("/inbox/1").text
    assert "안녕하세요" in page
    assert "kim@example.com" in page
    assert 'src="/inbox/1/html"' in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    text = client.get("/inbox/1?view=text").text
    assert "&lt;b&gt;not bold&lt;/b&gt;" in text
    assert '<a href="http://carillon.example.test/verify?token=1&amp;x=2" target="_blank" rel="noopener">' in text
    assert "Content-Type: multipart/alternative" in client.get("/inbox/1?view=source").text


def test_the_html_of_a_mail_runs_nothing_loads_nothing_and_opens_links_outside(app: Flask, client: FlaskClient) -> None:
    catch(app, ("kim@example.com", MULTIPART))
    answer = client.get("/inbox/1/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "script-src" not in policy
    assert "img-src data:;" in policy, "nor a picture of ours, which would tell of an opening"
    assert "https:" not in policy
    assert '<base target="_blank">' in answer.text


def test_the_source_is_the_mail_byte_for_byte_and_never_a_page(app: Flask, client: FlaskClient) -> None:
    catch(app, ("kim@example.com", MULTIPART))
    answer = client.get("/inbox/1/raw")
    assert answer.data == MULTIPART.encode()
    assert answer.content_type.startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_mail_that_is_not_there_is_a_404(app: Flask, client: FlaskClient) -> None:
    catch(app, ("kim@example.com", plain("x")))
    assert client.get("/inbox/99").status_code == 404


@pytest.mark.parametrize(
    "source",
    [
        "Subject: =?utf-8?b?!!!?=\r\n\r\nbody",
        "no headers at all",
        "Content-Type: text/plain; charset=nonsense\r\n\r\nbody",
        "Content-Type: multipart/mixed\r\n\r\nno boundary",
        "From: <<<>>>, ;;\r\nSubject: x\r\n\r\n",
        "",
    ],
)
def test_a_broken_mail_is_shown_all_the_same(app: Flask, client: FlaskClient, source: str) -> None:
    catch(app, ("kim@example.com", source))
    assert client.get("/inbox").status_code == 200
    for path in ("/inbox/1", "/inbox/1?view=text", "/inbox/1?view=source", "/inbox/1/html"):
        assert client.get(path).status_code == 200


ELSEWHERE = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.mark.parametrize("path", ["/inbox", "/inbox/1", "/inbox/1/html", "/inbox/1/raw"])
def test_strangers_on_other_machines_see_no_mail_and_are_told_why(app: Flask, client: FlaskClient, path: str) -> None:
    catch(app, ("kim@example.com", plain("Reset your password")))
    page = client.get(path, environ_overrides=ELSEWHERE, headers={"Accept-Language": "en"})
    assert page.status_code == 403
    assert "shown on the machine that Carillon runs on" in page.text
    assert "Reset" not in page.text


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_sees_the_inbox_by_any_of_its_own_addresses(client: FlaskClient, address: str) -> None:
    assert client.get("/inbox", environ_overrides={"REMOTE_ADDR": address}).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_does_not_make_everybody_local(client: FlaskClient, header: str) -> None:
    assert client.get("/inbox", headers={header: "203.0.113.9"}).status_code == 403


def test_people_with_a_role_see_the_inbox_from_anywhere_and_others_do_not(app: Flask) -> None:
    viewer = log_in(app, make_user("vic@example.com", role="viewer", password=True))
    reader = log_in(app, make_user("rea@example.com", password=True))
    assert viewer.get("/inbox", environ_overrides=ELSEWHERE).status_code == 200
    assert reader.get("/inbox", environ_overrides=ELSEWHERE).status_code == 403


def test_a_proxy_that_is_counted_tells_who_is_local(environ: dict[str, str]) -> None:
    app = create_app(load_settings({**environ, "PROXY_HOPS": "1"}))
    client = app.test_client()
    assert client.get("/inbox", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403
    assert client.get("/inbox", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
