"""`flask campaigns …`: send an announcement and ask where one stands."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from flask.cli import AppGroup

from campaigns.celery import enqueue
from campaigns.compose.models import CampaignState
from campaigns.compose.services import Draft, create_campaign, usual_tracking
from campaigns.delivery.launch import launch_now
from campaigns.delivery.queries import Totals, campaign_totals
from campaigns.delivery.tasks import end_hold
from campaigns.errors import UserError
from campaigns.languages import LANGUAGES
from campaigns.mail.tasks import send_mail
from campaigns.ops.command_line import answer_json, operator_command, tell
from campaigns.ops.watching import ProgressLine, equation, lanes_without_worker, watch_campaign
from campaigns.site import current_site

campaigns = AppGroup("campaigns", help="Send announcements and see where they stand.")


@campaigns.command("send")
@click.option(
    "--subject", required=True, metavar="TEXT", help="The subject; merge fields like {{ name }} are filled in."
)
@click.option(
    "--body",
    "body_path",
    required=True,
    metavar="FILE.md",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A UTF-8 file with the announcement in Markdown, with merge fields.",
)
@click.option("--language", type=click.Choice(list(LANGUAGES)), help="Language of the footer. [default: the site's]")
@click.option("--no-hold", is_flag=True, help="Start at once instead of leaving time to take the launch back.")
@click.option("--wait", is_flag=True, help="Wait until all is sent, with progress on standard error.")
@click.option("--json", "as_json", is_flag=True, help="Answer with the totals as JSON on standard output.")
@operator_command
def send(*, subject: str, body_path: Path, language: str | None, no_hold: bool, wait: bool, as_json: bool) -> None:
    """Send an announcement to all users.

    It takes the same way as a launch from the site: a hold in which it can be taken back, the freeze of the
    recipients, batches, totals. Workers must be running, or it waits until they are.

    With --wait the exit status is 0 only when the campaign has been sent to the end; a campaign that is paused or
    cancelled meanwhile ends the waiting with 1.
    """
    draft = _read_draft(subject, body_path, language)
    campaign_id = _launch(draft, hold_seconds=0 if no_hold else None)
    if lanes := lanes_without_worker():
        tell(f"No worker has reported lately for {', '.join(lanes)}; the campaign waits until one runs.")
    totals = watch_campaign(campaign_id, draw=ProgressLine().draw) if wait else campaign_totals(campaign_id)
    _answer(totals, as_json=as_json)
    if wait and totals.state != CampaignState.SENT:
        raise click.ClickException(f"Campaign {campaign_id} is {totals.state}; it was not sent to the end.")


@campaigns.command("status")
@click.argument("campaign_id", metavar="ID", type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
@operator_command
def status(*, campaign_id: int, as_json: bool) -> None:
    """Tell where a campaign stands, every recipient accounted for."""
    _answer(campaign_totals(campaign_id), as_json=as_json)


def _read_draft(subject: str, body_path: Path, language: str | None) -> Draft:
    try:
        body = body_path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{body_path} is not UTF-8 text (byte {error.start + 1} is not).") from error
    chosen = language or current_site().language
    return Draft(
        subject=subject, preheader="", sender_name="", reply_to="", language=chosen, body=body, **usual_tracking()
    )


def _launch(draft: Draft, *, hold_seconds: int | None) -> int:
    campaign_id = create_campaign(created_by_id=None, draft=draft)
    try:
        launch = launch_now(campaign_id, by=None, launch_key=secrets.token_hex(16), hold_seconds=hold_seconds)
    except UserError:
        tell(f"Campaign {campaign_id} stays a draft.")
        raise
    if launch.waits_for_approval:
        tell(f"Campaign {campaign_id} waits for a second person, who approves it on the site.")
        for mail_id in launch.mail_ids:
            enqueue(send_mail, mail_id)
        return campaign_id
    if launch.hold_seconds:
        tell(f"Campaign {campaign_id} starts in {launch.hold_seconds} s and can be taken back until then.")
    if not enqueue(end_hold, campaign_id, countdown=launch.hold_seconds):
        tell("The queue does not answer; the campaign starts when it is back.")
    return campaign_id


def _answer(totals: Totals, *, as_json: bool) -> None:
    if as_json:
        answer_json(totals.as_dict())
    else:
        click.echo(f"Campaign {totals.id}: {totals.state}\n{equation(totals)}")
