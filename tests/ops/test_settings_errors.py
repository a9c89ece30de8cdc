"""A wrong setting ends every way of starting with plain lines, and never with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import ROOT

STARTS = {
    "supervisor": ["campaigns.ops.up"],
    "flask": ["flask", "campaigns", "status", "1"],
    "worker": ["celery_worker", "worker"],
    "beat": ["celery_worker", "beat"],
    "gunicorn": ["gunicorn", "--config", "python:campaigns.ops.web_server", "app:create_app()"],
    "flower": ["celery", "-A", "celery_worker", "flower", "--conf=campaigns/ops/flower_server.py"],
    "catcher": ["campaigns.ops.catcher"],
}


@pytest.mark.parametrize("start", STARTS)
def test_wrong_settings_are_named_with_what_was_expected(start: str, tmp_path: Path) -> None:
    wrong = {"PORT": "http", "HOLD_SECONDS": "a minute", "MAIL_USE_TLS": "maybe", "INSTANCE_DIR": str(tmp_path / "i")}
    result = subprocess.run(
        [sys.executable, "-m", *STARTS[start]],
        cwd=ROOT,
        env={**os.environ, **wrong},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "PORT: expected a whole number from 1 to 65535, got 'http'" in result.stderr
    assert "HOLD_SECONDS: expected a whole number from 0 to 600, got 'a minute'" in result.stderr
    assert "MAIL_USE_TLS: expected true or false, got 'maybe'" in result.stderr
