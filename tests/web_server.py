"""An application served by threads of this process, for a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Say nothing of requests."""


@contextmanager
def on_port(app: Flask, port: int) -> Iterator[None]:
    """Serve an application until the block ends."""

    def answer_at_once(environ: Any, start_response: Any) -> Iterable[bytes]:
        # The server leaves a file open that it was sending to a browser which has gone.
        with closing(ClosingIterator(app(environ, start_response))) as parts:
            return [b"".join(parts)]

    server = make_server("127.0.0.1", port, answer_at_once, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
