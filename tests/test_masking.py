"""What is taken out of an error's words before they are kept, and what stays readable."""

from __future__ import annotations

import socket

import pytest

from campaigns.celery import LANES
from campaigns.config import Settings
from campaigns.masking import mask
from campaigns.ops.processes import working_processes


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("kim.lee+news@example.com is gone", "[address] is gone"),
        ("<kim@mail.example.co.kr>", "<[address]>"),
        ("김하늘@한국.example.com", "[address]"),
        ('"kim lee"@example.com', '[address]'),
        ("?q=kim%40example.com", "?q=[address]"),
        ("redis://:hunter2@127.0.0.1:6379/0 refused", "redis://127.0.0.1:6379/0 refused"),
        ("smtp://user:pass@relay.example.com:25", "smtp://relay.example.com:25"),
        ("/password/reset/IjEi.aBc1dE.Zx81kQpLm2_vTtRw", "/password/reset/[token]"),
        ("0123456789abcdef0123456789abcdef", "[token]"),
        ("password='two words' for it", "password=[hidden] for it"),
        ("Authorization: Bearer abc.def", "Authorization: [hidden]"),
        ("[SQL: INSERT] [parameters: ('the body of a mail',)]", "[SQL: INSERT] [parameters: hidden]"),
        ("x\nDETAIL:  Failing row contains (1, the body).", "x\nDETAIL: [hidden]"),
    ],
)  # fmt: skip
def test_what_is_taken_out(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: number 7 is no good",
        'File "/srv/carillon/campaigns/delivery/sending.py", line 120, in _send_the_window_of_rows_2',
        "task 1f0e7c1e-3f50-4b3b-9f10-2b1e5a0c9d7e of celery@now1",
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: users",
        "the token bucket is empty",
    ],
)
def test_what_stays(text: str) -> None:
    assert mask(text) == text


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine whose name has dots, as in a company's network."""
    monkeypatch.setattr(socket, "gethostname", lambda: "host1.example.com")
    return "host1.example.com"


def test_workers_of_this_machine_keep_their_names(machine: str, settings: Settings) -> None:
    plans = [list(plan.arguments) for plan in working_processes(settings)]
    names = [arguments[arguments.index("-n") + 1] for arguments in plans if "-n" in arguments]
    assert len(names) >= len(LANES)
    for name in [*names, *(f"{lane}@%h" for lane in LANES), "mail.bulk-12@%h", "celery@%h"]:
        line = f"{name.replace('%h', machine)} ready, and kim@example.com is told"
        assert mask(line) == line.replace("kim@example.com", "[address]")


@pytest.mark.parametrize(
    "address",
    ["kim@host1.example.com", "root@host1.example.com", "mail.bulk-1@example.com", "work@example.com",
     "mail.now@host2.example.com", "homework@host1.example.com", "work%40host1.example.com",
     "work-kim@host1.example.com"],
)  # fmt: skip
def test_whoever_is_no_worker_of_this_machine_is_masked(machine: str, address: str) -> None:
    assert mask(f"no mail to {address}") == "no mail to [address]"
