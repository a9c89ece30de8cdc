"""Gunicorn's configuration: `gunicorn --config python:campaigns.ops.web_server 'app:create_app()'`.

Reading the settings here, in the master, makes a wrong one end the start. In a worker it would be started for ever.
"""

from __future__ import annotations

import os
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from campaigns.config import load_settings_or_exit
from campaigns.logs import configure_logging
from campaigns.metrics import WEB, begin_process

_settings = load_settings_or_exit(os.environ)
configure_logging(_settings)


class MaskedLog(Logger):  # type: ignore[misc]
    """Gunicorn's own lines in the form of all others, and masked like them: they quote what was asked for."""

    def setup(self, cfg: Any) -> None:
        """Leave what is said to the handlers of every other log."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


bind = [f"{_settings.host}:{_settings.port}"]
workers = 2
preload_app = True  # the site is loaded once, and its workers share the memory that takes
worker_class = "gthread"
threads = 4
timeout = 60
graceful_timeout = 20
keepalive = 5
max_requests = 0
logger_class = MaskedLog
control_socket_disable = True  # its default path is shared by all installations of one user
forwarded_allow_ips = "127.0.0.1,::1" if not _settings.proxy_hops else "*"
limit_request_line = 8190


def post_worker_init(_worker: object) -> None:
    """Announce a worker of the web site, once it has its application."""
    begin_process(WEB)
