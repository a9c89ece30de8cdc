"""An endpoint on loopback that takes what Sentry's real SDK sends, and keeps every byte."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SentrySink:
    """What arrived: `bodies` are the unpacked envelopes, `heads` request lines and headers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.answers = threading.Event()  # cleared, the endpoint takes a request and says nothing
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def dsn(self) -> str:
        return f"http://thekey@127.0.0.1:{self._server.server_address[1]}/42"

    @property
    def raw(self) -> bytes:
        return b"\n".join(self.bodies) + "\n".join(self.heads).encode()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return every event of every envelope."""
        return self._items("event")

    @property
    def check_ins(self) -> list[dict[str, Any]]:
        """Return every check-in of a periodic job."""
        return self._items("check_in")

    def _items(self, kind: str) -> list[dict[str, Any]]:
        """Return what envelopes held: a line of headers, then for each item a line and its payload."""
        found = []
        for body in list(self.bodies):
            lines = body.split(b"\n")
            assert json.loads(lines[0])
            found += [json.loads(lines[n + 1]) for n in range(1, len(lines) - 1, 2) if _is(kind, lines[n])]
        return found

    @contextmanager
    def running(self) -> Iterator[SentrySink]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        yield self
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_packed = self.headers.get("Content-Encoding") == "gzip"
                sink.answers.wait()
                sink.heads.append(f"{self.requestline}\n{self.headers}")
                sink.bodies.append(gzip.decompress(body) if is_packed else body)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _is(kind: str, line: bytes) -> bool:
    try:
        return json.loads(line).get("type") == kind
    except (ValueError, AttributeError):
        return False
