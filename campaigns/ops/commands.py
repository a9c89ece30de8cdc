"""The command line: `flask users`, `flask campaigns`, and what the supervisor asks for."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import with_appcontext

from campaigns.accounts.queries import somebody_has_a_role
from campaigns.accounts.setup import setup_token
from campaigns.config import current_settings
from campaigns.ops.audit_commands import audit
from campaigns.ops.campaign_commands import campaigns
from campaigns.ops.command_line import operator_command
from campaigns.ops.demo_command import demo
from campaigns.ops.drill_command import drill, drill_inside
from campaigns.ops.stuck_command import stuck
from campaigns.ops.user_commands import users


def register_commands(app: Flask) -> None:
    """Add Carillon's commands to `flask`."""
    for command in (users, campaigns, audit, setup_link, stuck, demo, drill, drill_inside):
        app.cli.add_command(command)


@click.command("setup-link")
@with_appcontext
@operator_command
def setup_link() -> None:
    """Print the link to set this site up, while nobody has done so."""
    if somebody_has_a_role():
        return
    settings = current_settings()
    token = setup_token(settings.instance_dir)
    click.echo(f"Set it up here (the link works once): {settings.public_base_url}/setup?token={token}")
