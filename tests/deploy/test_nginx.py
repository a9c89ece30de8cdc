"""nginx takes deploy/nginx.conf without a word."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.nginx import write_site


def test_nginx_finds_nothing_wrong_with_the_site(tmp_path: Path) -> None:
    nginx = write_site(tmp_path, web_port=8000, flower_port=5555)
    result = subprocess.run(nginx.command("-t"), capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "syntax is ok" not in line and "is successful" not in line]
    assert said == []
