"""`flask demo`: what `make demo` does once everything runs."""

from __future__ import annotations

import sys
import time

import click
from flask.cli import with_appcontext

from campaigns.celery import enqueue
from campaigns.compose.models import CampaignState
from campaigns.config import current_settings
from campaigns.delivery.queries import ledger_totals
from campaigns.delivery.tasks import end_hold
from campaigns.ops.command_line import operator_command
from campaigns.ops.demo import DemoSite, count_arrivals, launch_demo_campaign, prepare_demo_site
from campaigns.ops.inbox import inbox_path, newest_id
from campaigns.ops.watching import ProgressLine, equation, watch_campaign


@click.command("demo", hidden=True)
@click.option("--once", is_flag=True, help="The site stops afterwards: leave out how to reach it.")
@with_appcontext
@operator_command
def demo(*, once: bool) -> None:
    """Send an announcement to demo users, and check that each got exactly one. `make demo` starts what it needs."""
    if not current_settings().trial_mode:
        raise click.ClickException("The demo sends only to the built-in mail catcher; unset MAIL_SERVER.")
    click.echo("Making a demo site with 2,000 users, Korean and English names")
    site = prepare_demo_site()
    is_exact = send_and_check()
    if not once:
        tell_how_to_log_in(site)
    sys.exit(0 if is_exact else 1)


def send_and_check() -> bool:
    """Launch the demo's campaign, show its progress and totals; tell whether everything adds up."""
    instance_dir = current_settings().instance_dir
    newest_before = newest_id(inbox_path(instance_dir))
    campaign_id = launch_demo_campaign()
    click.echo(f"Sending campaign {campaign_id}: freeze, batches in a chord, totals")
    began = time.monotonic()
    enqueue(end_hold, campaign_id)
    state = watch_campaign(campaign_id, draw=ProgressLine().draw).state
    seconds = time.monotonic() - began
    # Counted from the ledger, row by row: the demo proves the sum, so it believes no counter.
    totals = ledger_totals(campaign_id)
    click.echo(f"\nCampaign {campaign_id} is {state} after {seconds:.1f} s.\n{equation(totals)}")
    arrivals = count_arrivals(campaign_id, instance_dir, after_id=newest_before)
    click.echo(
        f"The catcher holds exactly one mail for {arrivals.once:,} of {arrivals.expected:,} recipients "
        f"({arrivals.missing:,} missing, {arrivals.doubled:,} doubled, {arrivals.strangers:,} to somebody else)."
    )
    is_exact = state == CampaignState.SENT and totals.balances and arrivals.is_exact
    click.echo("It adds up." if is_exact else "It does NOT add up.")
    return is_exact


def tell_how_to_log_in(site: DemoSite) -> None:
    """Print the demo's log-in."""
    click.echo(f"\nLog in as {site.owner_address} with the password {site.password}")
