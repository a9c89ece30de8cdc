"""The application factory: the web site and the commands. `flask run` finds it unaided."""

from __future__ import annotations

import gc
import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

import campaigns.accounts.routes
import campaigns.audience.import_routes
import campaigns.audience.routes
import campaigns.audit.routes
import campaigns.compose.routes
import campaigns.delivery.routes
import campaigns.ops.commands
import campaigns.ops.metrics_routes
import campaigns.ops.metrics_signals
import campaigns.ops.routes
import campaigns.ops.signals
import campaigns.reports.routes
import campaigns.settings.routes
import campaigns.team.routes
import campaigns.tracking.routes
import campaigns.upkeep.commands
from campaigns.base_app import make_base_app
from campaigns.config import Settings, load_settings_or_exit
from campaigns.error_pages import register_error_pages
from campaigns.extensions import db, login_manager
from campaigns.flask_settings import ROOT
from campaigns.held_pages import hold_until_upgraded
from campaigns.languages import set_language
from campaigns.mail.mail_servers import follow_servers
from campaigns.security import register_security
from campaigns.web_extensions import csrf, limiter, migrate

BLUEPRINTS = (
    campaigns.audit.routes.bp,
    campaigns.accounts.routes.bp,
    campaigns.team.routes.bp,
    campaigns.audience.routes.bp,
    campaigns.compose.routes.bp,
    campaigns.delivery.routes.bp,
    campaigns.tracking.routes.bp,
    campaigns.reports.routes.bp,
    campaigns.settings.routes.bp,
    campaigns.ops.routes.bp,
)

# What has been loaded stays to the end. Left in the search for garbage, it would be looked through at the process's
# end too, more than once: a quarter of the time that a short command takes.
gc.freeze()


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application; without `settings` they are read from the environment, a wrong one ends the process."""
    settings = settings or load_settings_or_exit(os.environ)
    app = make_base_app(settings, on_change=follow_servers)
    if settings.proxy_hops:
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    hold_until_upgraded(app)
    _bind_web_extensions(app)
    register_security(app)
    register_error_pages(app)
    app.add_url_rule("/language", "set_language", set_language, methods=["POST"])
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    campaigns.ops.commands.register_commands(app)
    campaigns.upkeep.commands.register_commands(app)
    return app


def _bind_web_extensions(app: Flask) -> None:
    migrate.init_app(app, db, directory=str(ROOT / "campaigns" / "migrations"))
    login_manager.init_app(app)
    csrf.init_app(app)
    limiter.init_app(app)
