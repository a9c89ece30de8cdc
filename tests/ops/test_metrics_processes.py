"""/metrics over many processes: real workers, a real web server, and processes that have ended."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from campaigns.config import load_settings
from campaigns.delivery.queries import ledger_totals
from campaigns.metrics import count_replies, share_counts, shared_folder
from tests.delivery.campaigns import has_ended, launch_for_workers
from tests.ops.scraping import Page, scrape
from tests.parts import ROOT, end_process_group, wait_until
from tests.people import make_user, make_users
from tests.smtp_sink import free_port

WORKER = ("celery_worker", "worker", "--loglevel=warning")
WEB = ("gunicorn", "--config", "python:campaigns.ops.web_server", "app:create_app()")
COUNT_AND_END = """
import os, sys
from pathlib import Path
from campaigns.metrics import begin_process, count_mails, share_counts
share_counts(Path(sys.argv[1]))
begin_process("passing")
count_mails("single", {("sent", "other"): 3})
os._exit(0)
"""


@pytest.mark.both_databases
def test_one_page_tells_of_web_workers_and_pool_processes_and_agrees_with_the_ledger(
    app: Flask, sink, start_process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    make_users(900)
    make_user("kim@gmail.com")
    for number in range(20):
        make_user(f"gone{number}@naver.com")
        sink.refusals[f"gone{number}@naver.com"] = "550 5.1.1 No such user"
    port, everybody = free_port(), ["mail.bulk", "mail.bulk", "web", "web", "work", "work"]
    start_process(*WEB, PORT=str(port))
    start_process(*WORKER, "-Q", "mail.bulk", "-P", "threads", "-c", "2", "-n", "bulk1@%h")
    start_process(*WORKER, "-Q", "mail.bulk", "-P", "threads", "-c", "2", "-n", "bulk2@%h")
    start_process(*WORKER, "-Q", "work", "-P", "prefork", "-c", "1", "-n", "work@%h")
    wait_until(lambda: processes_on(scrape(port)) == everybody, what="the processes to be there")
    campaign_id = launch_for_workers()
    pages: list[Page] = []

    def look() -> bool:
        pages.append(scrape(port) or pytest.fail("the web site has gone"))
        return has_ended(campaign_id)

    wait_until(look, what="the campaign to end")
    assert [page for page in pages if not page.adds_up()] == []
    totals = ledger_totals(campaign_id)
    # The last task's own time is counted a moment after it has recorded the totals.
    page = wait_until(
        lambda: (
            (found := scrape(port))
            and not found.missing()
            and found.sum("carillon_task_duration_seconds_count", task="delivery.record_totals", outcome="success")
            and found
        ),
    )
    assert page.is_of(totals, campaign="ended")
    assert (totals.sent, totals.failed) == (901, 20)
    assert page.sum("carillon_mails_total", kind="campaign", outcome="sent") == totals.sent
    assert page.sum("carillon_mails_total", kind="campaign", outcome="failed", domain_group="naver") == totals.failed
    assert page.sum("carillon_mails_total", outcome="sent", domain_group="gmail") == 1
    assert page.sum("carillon_smtp_replies_total", reply="2xx") == totals.sent
    assert page.sum("carillon_smtp_replies_total", reply="5xx") == totals.failed
    assert page.sum("carillon_task_duration_seconds_count", task="delivery.send_batch", outcome="success") >= 2
    assert page.sum("carillon_task_duration_seconds_count", task="delivery.end_hold", outcome="success") == 1
    assert page.sum("carillon_http_request_duration_seconds_count", endpoint="ops.metrics") >= len(pages)
    assert processes_on(page) == everybody
    assert page.sum("carillon_process_resident_memory_bytes") > 6 * 20_000_000


def processes_on(page: Page | None) -> list[str]:
    samples = page.families["carillon_process_start_time_seconds"].samples if page else []
    return sorted(sample.labels["process"] for sample in samples)


def test_a_machine_without_a_web_site_serves_its_processes_to_those_who_know_the_token(
    app: Flask, start_process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    port = free_port()
    settings = {"METRICS_PORT": str(port), "METRICS_HOST": "0.0.0.0", "METRICS_TOKEN": "secret"}
    first = start_process(*WORKER, "-Q", "mail.now", "-P", "threads", "-c", "1", "-n", "a@%h", **settings)
    wait_until(lambda: answers(port), what="the first worker's page")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        scrape(port)
    page = wait_until(lambda: whole(scrape(port, Authorization="Bearer secret")), what="a whole page")
    assert page.labels("carillon_process_start_time_seconds", "process") == {"mail.now"}
    assert page.labels("carillon_scrape_ok", "part") == {"processes"}
    start_process("celery_worker", "beat", **settings)
    end_process_group(first)
    page = wait_until(
        lambda: answers(port) and whole(scrape(port, Authorization="Bearer secret")), what="beat to take the port"
    )
    assert page.labels("carillon_process_start_time_seconds", "process") == {"beat"}
    assert page.sum("carillon_counted_by_web_site") == 0


def test_beside_a_web_site_the_port_leaves_its_numbers_to_it_so_that_none_count_twice(
    app: Flask, start_process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    port, web_port = free_port(), free_port()
    start_process("celery", "-A", "celery_worker", "beat", METRICS_PORT=str(port))
    run_and_end(metrics_dir(app))
    alone = wait_until(lambda: whole(scrape(port)), what="beat's page")
    assert sent_on(alone) == 3
    site = start_process(*WEB, PORT=str(web_port))
    beside = wait_until(lambda: whole(scrape(web_port)), what="the web site")
    at_port = wait_until(lambda: whole(scrape(port)), what="beat's page")
    assert (sent_on(beside), sent_on(at_port)) == (3, 0)
    assert at_port.sum("carillon_counted_by_web_site") == 1
    assert at_port.is_ok("processes")
    end_process_group(site)
    wait_until(lambda: (page := scrape(port)) and sent_on(page) == 3, what="the port to tell them again")


def whole(page: Page | None) -> Page | None:
    """Return the page if all is on it: a busy machine may need longer for a part than one scrape waits."""
    return page if page and not page.missing() else None


def sent_on(page: Page) -> float:
    return page.sum("carillon_mails_total", kind="single", outcome="sent")


def answers(port: int) -> bool:
    try:
        return scrape(port) is not None
    except urllib.error.HTTPError as error:
        return error.code == 404


def test_what_ended_processes_counted_stays_and_their_files_go(app: Flask, client: FlaskClient) -> None:
    folder = metrics_dir(app)
    for number in range(1, 5):
        run_and_end(folder)
        page = wait_until(lambda: whole(Page(client.get("/metrics").text)), what="a whole page")
        assert page.sum("carillon_mails_total", kind="single", outcome="sent") == 3 * number
        assert page.sum("carillon_process_start_time_seconds", process="passing") == 0
    assert len(list(folder.glob("counter_*.db"))) <= 2  # ours, and that of those who have ended
    assert len(list(folder.glob("gauge_*.db"))) <= 1


def test_processes_that_nobody_asks_about_do_not_fill_the_folder(app: Flask) -> None:
    folder = metrics_dir(app)
    for _ in range(4):
        run_and_end(folder)
    assert len(list(folder.glob("counter_*.db"))) <= 2  # the last, and that of those before it


def test_folders_of_containers_that_are_gone_go_after_a_week_empty_ones_too(tmp_path: Path) -> None:
    for name in ("counted", "empty", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "counted" / "counter_7.db").touch()
    for path in (tmp_path / "counted" / "counter_7.db", tmp_path / "counted", tmp_path / "empty"):
        os.utime(path, (0, 0))
    subprocess.run([sys.executable, "-c", COUNT_AND_END, str(tmp_path / "own")], cwd=ROOT, check=True, timeout=60)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "own"}


def test_a_folder_that_is_removed_stops_nothing(app: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    share_counts(folder)
    rmtree(folder)
    count_replies({("relay.example.com", "2xx"): 1})
    assert shared_folder() is None
    share_counts(metrics_dir(app))
    count_replies({("relay.example.com", "2xx"): 2})
    assert shared_folder() == metrics_dir(app)


def test_a_folder_that_cannot_be_made_stops_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    instance.mkdir()
    (instance / "metrics").write_text("in the way")
    client = create_app(load_settings(environ)).test_client()
    assert client.get("/healthz").status_code == 200
    wait_until(lambda: Page(client.get("/metrics").text).missing() == {"processes"}, what="all but the processes")


def metrics_dir(app: Flask) -> Path:
    folder: Path = app.extensions["carillon.settings"].metrics_dir
    return folder


def run_and_end(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", COUNT_AND_END, str(folder)], cwd=ROOT, check=True, timeout=120)
