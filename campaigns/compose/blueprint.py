"""The blueprint that the pages of this area hang on."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from campaigns.compose.titles import campaign_title

bp = Blueprint("compose", __name__)
bp.add_app_template_filter(campaign_title, "campaign_title")


def go_to(endpoint: str, campaign_id: int) -> Response:
    """Redirect to one of a campaign's pages."""
    return redirect(url_for(endpoint, campaign_id=campaign_id), code=303)
