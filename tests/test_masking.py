"""What is taken out of an error's words before they are kept, and what stays readable."""

from __future__ import annotations

import pytest

from campaigns.masking import mask


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
