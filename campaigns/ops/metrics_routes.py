"""/metrics for Prometheus, and the time every request takes."""

from __future__ import annotations

import time
from typing import Any

from flask import Response, abort, request, request_finished, request_started
from prometheus_client.exposition import choose_encoder

from campaigns.config import current_settings
from campaigns.metrics import HTTP_SECONDS
from campaigns.ops.metrics_access import knows_token
from campaigns.ops.metrics_scrape import site_registry
from campaigns.ops.routes import bp
from campaigns.remote_address import is_from_this_machine
from campaigns.security import public

BEGAN = "carillon.began"
NO_ENDPOINT = "none"


@bp.get("/metrics")
@public
def metrics() -> Response:
    """Answer with every number, to whoever knows METRICS_TOKEN, or without one to this machine; to others with 404."""
    token = current_settings().metrics_token
    may_read = knows_token(request.headers.get("Authorization", ""), token) if token else is_from_this_machine()
    if not may_read:
        abort(404)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(site_registry()), content_type=content_type)


@request_started.connect
def _note_begin(_app: Any, **_: Any) -> None:
    request.environ[BEGAN] = time.perf_counter()


@request_finished.connect
def _count_request(_app: Any, response: Response, **_: Any) -> None:
    """Count by endpoint, never by path, which anybody may make up."""
    began = request.environ.get(BEGAN)
    if began is not None:
        status = f"{response.status_code // 100}xx"
        HTTP_SECONDS.labels(request.endpoint or NO_ENDPOINT, status).observe(time.perf_counter() - began)
