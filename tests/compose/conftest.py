"""Campaigns for the tests of writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from campaigns.compose.models import Campaign
from campaigns.extensions import db


@pytest.fixture
def make_campaign(app: Flask) -> Callable[..., Campaign]:
    """Add a campaign, a draft with a subject and a body unless told otherwise."""

    def make(**overrides: Any) -> Campaign:
        values = {
            "subject": "11월 소식",
            "body": "# 안녕하세요 {{ name }}님",
            "language": "ko",
            "sender_name": "우편함",
        }
        campaign = Campaign(**{**values, **overrides})
        db.session.add(campaign)
        db.session.commit()
        return campaign

    return make


@pytest.fixture
def draft(make_campaign: Callable[..., Campaign]) -> Campaign:
    return make_campaign()
