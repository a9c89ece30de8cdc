"""The Celery application, with every task and no pages: `python -m celery_worker worker` starts a worker of it.

What a worker does not need is not loaded here, on purpose: each process that sends would carry it along. A test holds
that nothing is missing that the web site has for tasks, mails and digests.
"""

from __future__ import annotations

import os
from typing import Final

from flask import Flask

import campaigns.delivery.tasks
import campaigns.mail.tasks
import campaigns.ops.metrics_signals
import campaigns.ops.signals  # noqa: F401 - as all of the above: being imported registers what they hold
from campaigns.base_app import make_base_app
from campaigns.compose.titles import campaign_title
from campaigns.config import load_settings_or_exit
from campaigns.linked_pages import register_linked_pages
from campaigns.mail.mail_servers import follow_servers
from campaigns.ops.start_worker import start

# What processes that only send do without; Celery imports it into all others. Each registers what it holds.
BESIDES_SENDING: Final = (
    "campaigns.accounts.mails",
    "campaigns.accounts.tasks",
    "campaigns.audience.tasks",
    "campaigns.audit.tasks",
    "campaigns.delivery.mails",
    "campaigns.ops.attention",
    "campaigns.ops.broker_attention",
    "campaigns.ops.failure_notice",
    "campaigns.ops.tasks",
    "campaigns.reports.dashboard_queries",
    "campaigns.reports.digest_mail",
    "campaigns.reports.repeat_attention",
    "campaigns.reports.standings",
    "campaigns.reports.tasks",
    "campaigns.settings.attention",
    "campaigns.settings.tasks",
    "campaigns.team.mails",
)

# Celery's command line takes BROKER_URL as its own option, which would overrule the address we make of that setting.
os.environ.pop("CELERY_BROKER_URL", None)


def make_worker_app() -> Flask:
    """Return the application that tasks run in; a wrong setting ends the process."""
    app = make_base_app(load_settings_or_exit(os.environ), on_change=follow_servers)
    register_linked_pages(app)
    app.add_template_filter(campaign_title, "campaign_title")  # which the site has from the pages' blueprint
    return app


celery = make_worker_app().extensions["celery"]
celery.conf.include = BESIDES_SENDING

if __name__ == "__main__":
    start(obj=celery)
