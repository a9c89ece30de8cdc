"""The pages that are linked to from where no pages are: by mails, by the digest, by answers of commands.

A worker knows their addresses from here and loads none of them. A test holds that they are the routes' own.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.routing import Map, MapAdapter, Rule

from campaigns.config import current_settings

LINKED_PAGES: Final = {
    "accounts.account": "/account",
    "accounts.confirm_address": "/account/address/<token>",
    "accounts.forgot_password": "/password/forgot",
    "accounts.login": "/login",
    "accounts.reset_password": "/password/reset/<token>",
    "accounts.verify": "/verify/<token>",
    "audience.show_import": "/imports/<int:import_id>",
    "audience.unsubscribe": "/p/u/<token>",
    "audit.list_entries": "/audit",
    "compose.explain_test_link": "/p/test-link",
    "delivery.action_form": "/campaigns/<int:campaign_id>/after/<action>",
    "delivery.approval": "/campaigns/<int:campaign_id>/approval",
    "delivery.copied_database": "/copied-database",
    "delivery.launch_form": "/campaigns/<int:campaign_id>/launch",
    "delivery.repeat_form": "/campaigns/<int:campaign_id>/repeat",
    "ops.jobs": "/jobs",
    "reports.dashboard": "/",
    "reports.progress": "/campaigns/<int:campaign_id>/progress",
    "reports.report": "/campaigns/<int:campaign_id>/report",
    "settings.mail_servers": "/settings/mail",
    "team.show_invitation": "/invite/<token>",
    "tracking.follow_link": "/c/<token>/<int:number>",
    "tracking.opening_picture": "/o/<token>.gif",
}


def register_linked_pages(app: Flask) -> None:
    """Let `url_for` make these pages' addresses in an application that does not have the pages."""
    for rule in _rules():
        app.url_map.add(rule)


def public_addresses() -> MapAdapter:
    """Return what makes these pages' full addresses, as people outside reach them."""
    base = urlsplit(current_settings().public_base_url)
    return _PAGES.bind(base.netloc, script_name=base.path + "/", url_scheme=base.scheme)


def _rules() -> list[Rule]:
    return [Rule(rule, endpoint=endpoint) for endpoint, rule in LINKED_PAGES.items()]


_PAGES: Final = Map(_rules())
