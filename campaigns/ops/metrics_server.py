"""/metrics of a machine without a web site: served by whichever worker process, or beat, gets the port."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flask import Flask
from prometheus_client.exposition import ThreadingWSGIServer, choose_encoder

from campaigns.config import Settings
from campaigns.ops.metrics_access import is_loopback, knows_token
from campaigns.ops.metrics_scrape import machine_registry

TRY_AGAIN_SECONDS = 15.0

logger = logging.getLogger(__name__)


class MetricsServer:
    """A daemon thread that answers on METRICS_PORT, and tries for the port while another process has it."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._stopped = Event()
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """Begin; without METRICS_PORT there is nothing to do."""
        if self._settings.metrics_port:
            Thread(target=self._serve, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Leave the port to another process."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._server = self._listen()
            if self._server is not None:
                logger.info("metrics of this machine are at port %s", self._settings.metrics_port)
                self._server.serve_forever()
                return
            self._stopped.wait(TRY_AGAIN_SECONDS)

    def _listen(self) -> WSGIServer | None:
        host, port = self._settings.metrics_host, self._settings.metrics_port
        try:
            return make_server(host, port, self._answer, _server_for(host), handler_class=_Silent)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                logger.warning("METRICS_HOST, METRICS_PORT: cannot listen on %s:%s: %s", host, port, error.strerror)
            return None

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics" or not self._may_read(environ):
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        with self._app.app_context():
            body = encode(machine_registry())
        start("200 OK", [("Content-Type", content_type)])
        return [body]

    def _may_read(self, environ: dict[str, Any]) -> bool:
        token = self._settings.metrics_token
        if token:
            return knows_token(environ.get("HTTP_AUTHORIZATION", ""), token)
        return is_loopback(environ["REMOTE_ADDR"])


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing of single requests."""


def _server_for(host: str) -> type[WSGIServer]:
    """Return a server class for the kind of address that the host is."""
    family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    return type("MetricsWsgiServer", (ThreadingWSGIServer,), {"address_family": family})
