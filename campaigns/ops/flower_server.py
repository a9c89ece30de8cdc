"""Flower's configuration: `celery -A celery_worker flower --conf=campaigns/ops/flower_server.py`.

Flower takes the names below for its options. What it is told to do leaves no trace in the activity log, so it only
shows; tasks are run again on the jobs page.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from flower.urls import handlers as _handlers

from campaigns.config import load_settings_or_exit
from campaigns.ops.flower_log_in import FLOWER_USER, flower_password

_settings = load_settings_or_exit(os.environ)
if not _settings.flower_url:
    sys.stderr.write("Flower cannot start; FLOWER_URL is not set. Without it the workers do not tell of their tasks.\n")
    raise SystemExit(2)

address = _settings.flower_host
port = _settings.flower_port
url_prefix = urlsplit(_settings.flower_url).path.strip("/")
basic_auth = [f"{FLOWER_USER}:{flower_password(_settings)}"]
auth = ""
read_only = True
persistent = False
max_tasks = 10_000  # kept in memory, so that it does not grow
enable_events = False  # FLOWER_URL has the workers send events; a Flower that was once started must not keep them at it

# Flower shows its numbers to everybody, whatever password it has; Carillon has a page of its own for them.
_handlers[:] = [handler for handler in _handlers if not isinstance(handler, tuple) or handler[0] != "/metrics"]
