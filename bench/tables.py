"""The measured numbers as tables: plain for a terminal, Markdown for the README and the docs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from bench.speed import USUAL_WAY

Results = dict[str, Any]
Rows = list[Sequence[str]]

DATABASE_NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
SPEED_HEAD: Final = ("way", "mails a second", "times the usual")
MORE_HEAD: Final = ("measure", "measured")
# What a faster machine makes faster is told apart from what we did: smtplib is the same everywhere.
RUNS_HEAD: Final = ("run", "smtplib", "Carillon on PostgreSQL", "times smtplib", "Carillon on SQLite")
RUN_WAYS: Final = ("smtplib", "carillon_postgresql", "carillon_sqlite")


def speed_rows(results: Results) -> Rows:
    """Return name, rate and ratio of every way, the slowest first."""
    ways = results["ways"]
    usual = next((way["rate"] for way in ways if way["key"] == USUAL_WAY), None)
    return [
        (way["name"], f"{way['rate']:,.0f}", f"{way['rate'] / usual:,.1f}" if usual else "")
        for way in sorted(ways, key=lambda way: float(way["rate"]))
    ]


def more_rows(results: Results) -> Rows:
    """Return the other measures that were made."""
    more = results["more"]
    return [row for name, write in _MORE.items() if name in more for row in write(more[name])]


def run_rows(runs: Sequence[Results]) -> Rows:
    """Return for each run that has them all when and where it was, and how fast smtplib and Carillon were."""
    rows: Rows = []
    for run in sorted(runs, key=lambda run: str(run["measured_at"])):
        rates = {way["key"]: float(way["rate"]) for way in run["ways"]}
        if set(RUN_WAYS) <= set(rates):
            smtplib, postgresql, sqlite = (rates[key] for key in RUN_WAYS)
            times = f"{postgresql / smtplib:.1f}"
            rows.append((_run_name(run), f"{smtplib:,.0f}", f"{postgresql:,.0f}", times, f"{sqlite:,.0f}"))
    return rows


def machine_line(results: Results) -> str:
    """Return what it was measured on, in one sentence."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']:g} GB, {machine['system']}, "
        f"load before {machine['load_before']:g}; {versions}"
    )


def content_line(results: Results) -> str:
    """Return what was sent, in one sentence."""
    return (
        f"{results['recipients']:,} recipients, mails of {results['mail_bytes']:,} octets; smtp-sink, database and "
        f"Redis on the same machine; median of {results['rounds']}"
    )


def text_table(head: Sequence[str], rows: Rows) -> str:
    """Return a table for a terminal: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(_text_row(row, widths) for row in [head, *rows])


def markdown_table(head: Sequence[str], rows: Rows) -> str:
    """Return a table in Markdown: numbers to the right."""
    line = ["---", *["---:" for _ in head[1:]]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, line, *rows])


def _text_row(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join([row[0].ljust(widths[0]), *numbers])


def _run_name(run: Results) -> str:
    machine, at = run["machine"], run["measured_at"][:16].replace("T", " ")
    return f"{at} UTC, {machine['cores']} cores, {machine['system']}, Python {machine['versions']['Python']}"


def _freeze_rows(measured: list[dict[str, Any]]) -> Rows:
    return [
        (f"Freeze of {one['recipients']:,} recipients, {_database(one)}", f"{one['seconds']:.1f} s") for one in measured
    ]


def _size_rows(measured: list[dict[str, Any]]) -> Rows:
    rows: Rows = []
    for one in measured:
        rows.append((f"Cost of a mail, {_sized(one)}", _cost(one)))
    for one in measured:
        if one["sender_peak_rss_mb"] is not None:
            rows.append((f"Memory of a sending worker, {_sized(one)}", _memory(one)))
    return rows


def _layout_rows(one: dict[str, Any]) -> Rows:
    name = f"The same words in the site's layout, {one['mail_bytes']:,} octets, {_database(one)}"
    return [(name, f"{one['rate']:,.0f} mails a second")]


def _reset_rows(one: dict[str, Any]) -> Rows:
    name = f"Password reset asked for while {one['mails']:,} mails go out, {_database(one)}"
    return [(name, f"p95 {one['p95_seconds']:.2f} s, longest {one['longest_seconds']:.2f} s of {one['asked']}")]


def _far_rows(one: dict[str, Any]) -> Rows:
    away, connections = f"{one['milliseconds']} ms away", f"{one['connections']} connections"
    name = f"Relay {away}, one worker process with {connections}, {_database(one)}"
    return [(name, f"{one['rate']:,.0f} mails a second")]


def _database(one: dict[str, Any]) -> str:
    return DATABASE_NAMES[one["database"]]


def _sized(one: dict[str, Any]) -> str:
    return f"{one['mails']:,} recipients, {_database(one)}"


def _cost(one: dict[str, Any]) -> str:
    cpu = one["sender_cpu_microseconds_per_mail"]
    return f"{one['microseconds_per_mail']:.0f} µs" + (f", {cpu:.0f} µs of CPU in the senders" if cpu else "")


def _memory(one: dict[str, Any]) -> str:
    pss = one["sender_peak_pss_mb"]
    return f"{one['sender_peak_rss_mb']:.0f} MB at most" + (f", {pss:.0f} MB without what is shared" if pss else "")


_MORE: Final[dict[str, Callable[[Any], Rows]]] = {
    "freeze": _freeze_rows,
    "sizes": _size_rows,
    "layout": _layout_rows,
    "resets": _reset_rows,
    "far": _far_rows,
}
