"""The other measures: freeze, the site's layout, a password reset in the middle, and a relay far away."""

from __future__ import annotations

import http.cookiejar
import re
import statistics
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from bench.carillon import Installation, aware, installation, installation_environment, run_inside
from bench.content import mail_size, site_content
from bench.databases import SQLITE, people_in
from bench.parts import BenchError, own_folder
from campaigns.clock import utcnow
from campaigns.compose.models import CampaignState
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.ops.up import address_of

RESETS: Final = 20
FAR_THREADS: Final = 4
FAR_CONNECTIONS: Final = 16  # of each thread
FAR_MILLISECONDS: Final = 50
FAR_MAILS: Final = 64_000
LIMIT_SECONDS: Final = 3_600.0

Say = Callable[[str], None]


def measure_freeze(kinds: list[str], largest: int, folder: Path, say: Say) -> list[dict[str, Any]]:
    """Time the freeze of the largest audience on each database, with its commit."""
    measured = []
    with people_in(kinds, largest, folder) as all_people:
        for people in all_people:
            with own_folder() as own, people.copy(own) as url:
                environ = installation_environment(own, url if people.kind != SQLITE else None, MAIL_PORT="9")
                frozen = run_inside(environ, "freeze", limit_seconds=LIMIT_SECONDS)
            say(f"Freeze of {frozen['recipients']:,} on {people.kind}: {frozen['seconds']:.1f} s")
            measured.append({"database": people.kind, **frozen, "seconds": round(frozen["seconds"], 2)})
    return measured


def measure_layout(kind: str, recipients: int, folder: Path, say: Say) -> dict[str, Any]:
    """Send the same words in the site's own layout, which makes the mail twice as big."""
    with people_in([kind], recipients, folder) as (people,), installation(people) as running:
        run = running.send_campaign("site", limit_seconds=LIMIT_SECONDS)
    say(f"With the site's layout: {run.rate:,.0f} mails a second")
    return {"database": kind, "mail_bytes": mail_size(site_content()), **run.to_json()}


def measure_far(kind: str, largest: int, folder: Path, say: Say) -> dict[str, Any]:
    """Send to a relay 50 ms away with one worker process of many connections."""
    each_way = str(FAR_MILLISECONDS / 2)
    relay = [sys.executable, "-m", "bench.delay_proxy", each_way]
    with (
        people_in([kind], min(FAR_MAILS, largest), folder) as (people,),
        installation(people, sender_threads=FAR_THREADS, relay=relay, BULK_CONNECTIONS=str(FAR_CONNECTIONS)) as running,
    ):
        run = running.send_campaign("plain", limit_seconds=LIMIT_SECONDS)
    say(f"{FAR_MILLISECONDS} ms away, one process: {run.rate:,.0f} mails a second")
    connections = FAR_THREADS * FAR_CONNECTIONS
    return {"database": kind, "milliseconds": FAR_MILLISECONDS, "connections": connections, **run.to_json()}


def measure_resets(kind: str, recipients: int, folder: Path, say: Say) -> dict[str, Any]:
    """Ask for password resets on the site while a campaign runs; time each until the mail server has taken it."""
    with people_in([kind], recipients, folder) as (people,), installation(people) as running:
        launched = running.launch_campaign("plain")
        while running.state_of(launched.campaign_id) != CampaignState.SENDING:
            time.sleep(0.05)
        asked = _ask_for_resets(running, launched.campaign_id)
        run = running.finish_campaign(launched, limit_seconds=LIMIT_SECONDS)
        waits = _waits(running, asked)
    p95 = sorted(waits)[ceil(0.95 * len(waits)) - 1]
    say(f"{len(waits)} password resets during a campaign: p95 {p95:.2f} s")
    return {
        "database": kind,
        "asked": len(waits),
        "median_seconds": round(statistics.median(waits), 3),
        "p95_seconds": round(p95, 3),
        "longest_seconds": round(max(waits), 3),
        **run.to_json(),
    }


def _ask_for_resets(running: Installation, campaign_id: int) -> dict[str, datetime]:
    """Ask for one person after another; return when, of those that were asked while the campaign was being sent."""
    asked: dict[str, datetime] = {}
    for number in range(1, RESETS + 1):
        address = f"person{number}@example.com"
        asked_at = ask_for_reset(address_of(running.settings), address)
        if running.state_of(campaign_id) != CampaignState.SENDING:
            break
        asked[address] = asked_at
    if not asked:
        raise BenchError("the campaign was over before the first password reset; measure with more recipients")
    return asked


def ask_for_reset(site: str, address: str) -> datetime:
    """Fill in the form "forgot password" as a browser does; return the moment at which it was sent."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
    page = opener.open(f"{site}/password/forgot", timeout=30).read().decode()
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    if token is None:
        raise BenchError("the form to ask for a password reset has no token")
    fields = urllib.parse.urlencode({"csrf_token": token[1], "email": address}).encode()
    asked_at = utcnow()
    opener.open(f"{site}/password/forgot", fields, timeout=30).read()
    return asked_at


def _waits(running: Installation, asked: dict[str, datetime]) -> list[float]:
    """Return the seconds from each request to the moment at which the server's answer was written down."""
    query = select(OutboxMail.to_address, OutboxMail.settled_at).where(OutboxMail.state == OutboxState.SENT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with running.engine.connect() as connection:
            settled = {row.to_address: row.settled_at for row in connection.execute(query)}
        if settled.keys() >= asked.keys():
            return [(aware(settled[address]) - at).total_seconds() for address, at in asked.items()]
        time.sleep(0.2)
    raise BenchError(f"of {len(asked)} password resets only {len(settled)} were sent")
