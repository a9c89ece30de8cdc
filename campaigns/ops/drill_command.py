"""`flask drill`: prove on this very machine that a campaign adds up, whatever breaks."""

from __future__ import annotations

import secrets
import subprocess
import sys
from typing import Any

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade

from campaigns.config import Settings, current_settings
from campaigns.ops.command_line import answer_json, operator_command, tell
from campaigns.ops.drill import Drill, Plan, refuse_unless_own
from campaigns.ops.drill_house import House, drill_house, own_environment
from campaigns.ops.drill_stage import Stage
from campaigns.ops.drill_verdict import Verdict
from campaigns.ops.watching import equation

LISTED = 20


@click.command("drill")
@click.option("--faults", type=click.IntRange(0, 200), default=12, show_default=True, help="How many things break.")
@click.option("--seed", type=click.IntRange(0), help="Which ones, and when; printed, so that it can be repeated.")
@click.option("--recipients", type=click.IntRange(10, 1_000_000), default=10_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
@with_appcontext
@operator_command
def drill(*, faults: int, seed: int | None, recipients: int, as_json: bool) -> None:
    """Send a campaign to a built-in mail server while things break, and compare recipient by recipient.

    It has a place of its own: a temporary folder, a Redis server of its own, on the configured PostgreSQL server a
    database of its own (else SQLite), on the configured RabbitMQ queues of its own. Nobody's users, campaigns or mail
    servers are touched. Processes are killed, Redis is emptied, connections are cut, messages are lost and doubled.
    The seed also says whether contents are handed over with BDAT, as with every odd one, or with DATA.

    The exit status is 0 only when nobody was lost, nobody got it twice, whoever is uncertain is one for each connection
    that was cut, and the equation holds.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    is_odd = seed % 2 == 1
    options = [f"--faults={faults}", f"--seed={seed}", f"--recipients={recipients}", *(["--json"] if as_json else [])]
    with drill_house(current_settings(), own_environment(), recipients=recipients, chunking=is_odd) as house:
        status = _run_inside(house, options)
        if status:
            house.keep_folder = True
            tell(f"Its logs are in {house.folder}; remove that folder when you have read them.")
    sys.exit(status)


@click.command("drill-inside", hidden=True)
@click.option("--faults", type=int, required=True)
@click.option("--seed", type=int, required=True)
@click.option("--recipients", type=int, required=True)
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
@operator_command
def drill_inside(*, faults: int, seed: int, recipients: int, as_json: bool) -> None:
    """Run a drill in the house that `flask drill` has made."""
    settings, plan = current_settings(), Plan(recipients=recipients, faults=faults, seed=seed)
    upgrade()
    refuse_unless_own(settings)
    stage = Stage(settings, own_environment(), say=lambda text: tell(f"           {text}"))
    stage.supervisor.listen_for_signals()
    tell(f"Drill with seed {seed}: {recipients:,} recipients, {faults} faults, {_places(settings)}")
    try:
        stage.start()
        run = Drill(plan, stage, say=tell)
        verdict = run.run()
    finally:
        stage.stop()
    _answer(run, verdict, as_json=as_json)
    sys.exit(0 if verdict.holds else 1)


def _run_inside(house: House, options: list[str]) -> int:
    command = [sys.executable, "-m", "flask", "--app", "app", "drill-inside", *options]
    process = subprocess.Popen(command, env=dict(house.environ))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the terminal has told the drill as well, which ends what it started


def _places(settings: Settings) -> str:
    database = "SQLite" if settings.database_url.startswith("sqlite") else "PostgreSQL"
    broker = "RabbitMQ" if settings.broker_url.startswith("amqp") else "Redis"
    command = "BDAT" if settings.mail_servers[0].chunking else "DATA"
    return f"on {database}, with {broker}, contents by {command}"


def _answer(drill: Drill, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        answer_json(_as_dict(drill, verdict))
        return
    click.echo(f"\n{equation(verdict.by_ledger)}\n")
    click.echo(f"lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, contradicted {len(verdict.contradicted)}")
    click.echo(f"uncertain {len(verdict.uncertain)} ≤ {verdict.most_uncertain} connections: {verdict.bound_in_words}")
    for each in verdict.uncertain[:LISTED]:
        click.echo(f"  {each.address}: {'delivered' if each.was_delivered else 'not delivered'} ({each.reason})")
    if len(verdict.uncertain) > LISTED:
        click.echo(f"  … and {len(verdict.uncertain) - LISTED} more")
    for problem in verdict.problems:
        click.echo(f"WRONG: {problem}")
    plan = drill.plan
    click.echo("It holds." if verdict.holds else "It does NOT hold.")
    click.echo(f"The same again: flask drill --seed {plan.seed} --faults {plan.faults} --recipients {plan.recipients}")


def _as_dict(drill: Drill, verdict: Verdict) -> dict[str, Any]:
    plan = drill.plan
    return {
        "holds": verdict.holds,
        "seed": plan.seed,
        "faults": plan.faults,
        "recipients": plan.recipients,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "contradicted": len(verdict.contradicted),
        "left_open": len(verdict.left_open),
        "uncertain": len(verdict.uncertain),
        "uncertain_delivered": verdict.uncertain_delivered,
        "most_uncertain": verdict.most_uncertain,
        "most_uncertain_is_loose": not verdict.knows_whose,
        "accepted": verdict.accepted,
        "equation": verdict.is_balanced,
        "totals": verdict.by_ledger.as_dict(),
        "problems": verdict.problems,
        "log": [{"seconds": seconds, "what": what} for seconds, what in drill.events],
    }
