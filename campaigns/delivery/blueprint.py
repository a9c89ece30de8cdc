"""The blueprint that this area's pages hang on, and where they lead to."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

bp = Blueprint("delivery", __name__)


def to_progress(campaign_id: int) -> Response:
    """Lead to the page that shows where the campaign stands."""
    return redirect(url_for("reports.progress", campaign_id=campaign_id), code=303)


def to_report(campaign_id: int) -> Response:
    """Lead to the campaign's report."""
    return redirect(url_for("reports.report", campaign_id=campaign_id), code=303)
