"""What nginx and TLS in front add: cookies, headers, static files, whose address counts, limits, the way to Flower."""

from __future__ import annotations

import http.client
import re
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.deploy.nginx import HOST
from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.steps import OWNER, log_in
from tests.pages import forms_of
from tests.parts import wait_until
from tests.people import PASSWORD

pytestmark = pytest.mark.timeout(400)

LIE = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}


class Visitor:
    """Somebody at an address of their own, who says that they are somewhere else; keeps cookies."""

    def __init__(self, site: Installation, *, address: str = "127.0.0.1") -> None:
        self.site, self.address = site, address
        self.cookies: SimpleCookie = SimpleCookie()
        self.headers: dict[str, str] = {}

    def ask(self, path: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
        """Ask over TLS, whose certificate must be right; returns the status and the text."""
        nginx = self.site.front
        plain = socket.create_connection(("127.0.0.1", nginx.https_port), timeout=60, source_address=(self.address, 0))
        connection = http.client.HTTPSConnection(HOST, nginx.https_port)
        connection.sock = nginx.trust().wrap_socket(plain, server_hostname=HOST)
        headers = {**LIE, "Cookie": "; ".join(f"{name}={each.value}" for name, each in self.cookies.items())}
        headers |= {"Referer": f"{self.site.url}{path}", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST" if fields else "GET", path, urlencode(fields or {}), headers)
        answer = connection.getresponse()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        for given in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.load(given)
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        return answer.status, text

    def log_in(self, address: str, password: str = PASSWORD) -> int:
        """Fill in the form; returns the status."""
        form = next(form for form in forms_of(self.ask("/login")[1]) if "password" in form["fields"])
        return self.ask("/login", {**form["fields"], "email": address, "password": password})[0]


def new_address() -> str:
    """Return an address of this machine from which most likely nobody has asked for anything yet."""
    return f"127.0.{10 + secrets.randbelow(240)}.{1 + secrets.randbelow(250)}"


def test_pages_carry_what_keeps_them_private_and_static_files_come_from_nginx(site: Installation) -> None:
    visitor = Visitor(site)
    status, page = visitor.ask("/login")
    assert status == 200
    assert visitor.headers["strict-transport-security"] == "max-age=31536000"
    assert "script-src 'self'" in visitor.headers["content-security-policy"]
    assert visitor.headers["cache-control"] == "no-store"
    assert "content-encoding" not in visitor.headers
    cookie = re.fullmatch(r"__Host-carillon=[^;]+; (.*)", visitor.headers["set-cookie"])
    assert cookie
    assert set(cookie[1].split("; ")) == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}

    static = re.search(r'href="(/static/app\.css\?v=\w+)"', page)
    assert static
    assert visitor.ask(static[1])[0] == 200
    assert "x-request-id" not in visitor.headers, "Carillon was asked"
    assert visitor.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert visitor.headers["strict-transport-security"] == "max-age=31536000"
    visitor.ask("/static/app.css")
    assert visitor.headers["cache-control"] == "no-cache"


def test_plain_http_leads_to_tls_and_numbers_are_shut(site: Installation) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.front.http_port, timeout=60)
    connection.request("GET", "/campaigns?tab=sent", headers={"Host": HOST})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"{site.url}/campaigns?tab=sent")
    connection.close()
    assert Visitor(site, address="127.0.0.77").ask("/metrics")[0] == 403
    assert Visitor(site).ask("/auth/flower")[0] == 404
    with pytest.raises((http.client.HTTPException, OSError)):  # another name gets no answer at all
        connection.request("GET", "/", headers={"Host": "elsewhere.example.com"})
        connection.getresponse()


def test_the_address_of_a_visitor_is_the_one_that_nginx_sees(site: Installation, word: str) -> None:
    site.add_user(address := f"walker-{word}@example.com", name="Walker", language="en")
    visitor = Visitor(site, address="127.0.0.77")
    assert visitor.log_in(address) == 303
    page = visitor.ask("/account")[1]
    assert "127.0.0.77" in page
    assert "203.0.113.9" not in page


def test_who_guesses_passwords_waits_whatever_address_they_claim(site: Installation, word: str) -> None:
    site.add_user(address := f"guessed-{word}@example.com")
    # More than five in a minute, or, on a busy machine, than eight in ten.
    guesser = new_address()
    statuses = [Visitor(site, address=guesser).log_in(address, "wrong " * 3) for _ in range(9)]
    assert statuses[0] == 422
    assert 429 in statuses
    assert Visitor(site, address="127.0.0.1").log_in(address) == 303  # elsewhere nobody waits


def test_a_flood_is_stopped_before_it_reaches_carillon(site: Installation) -> None:
    address = new_address()
    visitors = [Visitor(site, address=address) for _ in range(120)]
    with ThreadPoolExecutor(20) as at_once:  # as floods come: one after the other they are slower than a busy machine
        statuses = list(at_once.map(lambda visitor: visitor.ask("/login", {"email": "x"})[0], visitors))
    stopped = [visitor for visitor, status in zip(visitors, statuses, strict=True) if status == 429]
    assert stopped
    assert len(visitors) - len(stopped) > 30, "a person is slower than that"
    assert not any("x-request-id" in visitor.headers for visitor in stopped), "Carillon was asked"
    assert stopped[0].ask("/login")[0] == 200, "looking is not limited"


def test_tokens_of_links_stay_out_of_the_log(site: Installation) -> None:
    visitor = Visitor(site)
    for path in ("/verify/a-secret-token", "/password/reset/a-secret-token", "/login?next=a-secret-token"):
        visitor.ask(path)
    visitor.ask("/the-last-of-these")  # lines are written in order, each after its answer has been sent
    wait_until(lambda: "/the-last-of-these" in site.front.access_log.read_text(), what="the lines in the log")
    log = site.front.access_log.read_text()
    assert '"GET /verify/-" 404 ' in log
    assert '"GET /password/reset/-" 404 ' in log
    assert "a-secret-token" not in log


def test_flower_opens_from_the_jobs_page_for_those_who_manage_jobs_alone(
    windows: Windows, site: Installation, word: str
) -> None:
    stranger = Visitor(site)
    assert stranger.ask("/flower/")[0] == 302
    assert stranger.headers["location"] == "/login?next=/flower/"
    site.add_user(address := f"pressed-{word}@example.com", role="sender")
    sender = Visitor(site)
    sender.log_in(address)
    assert sender.ask("/flower/")[0] == 403
    assert sender.ask("/flower/api/tasks")[0] == 403

    page = windows.open(language="ko")
    log_in(page, site)
    owner = Visitor(site)
    assert owner.log_in(OWNER) == 303
    wait_until(lambda: '"mail.now' in owner.ask("/flower/workers?json=1")[1], what="Flower to know the workers")
    page.goto(f"{site.url}/jobs")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Flower 열기").click()
    flower = opened.value
    expect(flower).to_have_title(re.compile("Flower"))
    expect(flower.locator("#workers-table a[href^='/flower/worker/mail.now']")).to_be_visible()
    assert flower.url == f"{site.url}/flower/"
    assert "carillon" not in flower.evaluate("document.cookie")
    assert windows.console == []
    metrics = flower.goto(f"{site.url}/flower/metrics")
    assert metrics
    assert metrics.status == 404
