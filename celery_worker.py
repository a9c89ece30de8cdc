"""The Celery application, with every task and no pages: `python -m celery_worker worker` starts a worker of it.

What a worker does not need is not loaded here, on purpose: each process that sends would carry it along. A test holds
that nothing is missing that the web site has for tasks, mails and digests.
"""

from __future__ import annotations

import os

from flask import Flask

import campaigns.accounts.mails
import campaigns.accounts.tasks
import campaigns.audience.tasks
import campaigns.audit.tasks
import campaigns.delivery.mails
import campaigns.delivery.tasks
import campaigns.mail.tasks
import campaigns.ops.attention
import campaigns.ops.broker_attention
import campaigns.ops.failure_notice
import campaigns.ops.metrics_signals
import campaigns.ops.signals
import campaigns.ops.tasks
import campaigns.reports.dashboard_queries
import campaigns.reports.digest_mail
import campaigns.reports.repeat_attention
import campaigns.reports.standings
import campaigns.reports.tasks
import campaigns.settings.attention
import campaigns.settings.tasks
import campaigns.team.mails  # noqa: F401 - as all of the above: being imported registers what they hold
from campaigns.base_app import make_base_app
from campaigns.compose.titles import campaign_title
from campaigns.config import load_settings_or_exit
from campaigns.linked_pages import register_linked_pages
from campaigns.mail.mail_servers import follow_servers
from campaigns.ops.start_worker import start

# Celery's command line takes BROKER_URL as its own option, which would overrule the address we make of that setting.
os.environ.pop("CELERY_BROKER_URL", None)


def make_worker_app() -> Flask:
    """Return the application that tasks run in; a wrong setting ends the process."""
    app = make_base_app(load_settings_or_exit(os.environ), on_change=follow_servers)
    register_linked_pages(app)
    app.add_template_filter(campaign_title, "campaign_title")  # which the site has from the pages' blueprint
    return app


celery = make_worker_app().extensions["celery"]

if __name__ == "__main__":
    start(obj=celery)
