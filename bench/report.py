"""Writes the measured numbers into README.md and docs/performance.md: `python -m bench.report`.

No number there is typed by hand: what stands between the markers is made from bench/results/latest.json, and the
runs on other machines from the files beside it. With `--check` nothing is written, and the exit status is 1 when a page
is not what it would become.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from bench.tables import (
    MORE_HEAD,
    RUNS_HEAD,
    SPEED_HEAD,
    Results,
    content_line,
    machine_line,
    markdown_table,
    more_rows,
    run_rows,
    speed_rows,
)
from campaigns.ops.processes import ROOT

RESULTS: Final = ROOT / "bench" / "results"
ELSEWHERE: Final = "Mails a second in this run, and in earlier ones on other machines with the code of then:"
MARKED: Final = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 when a page would change.")
@click.option("--from", "folder", type=click.Path(path_type=Path), default=RESULTS, help="Where latest.json is.")
def report(*, check: bool, folder: Path) -> None:
    """Put the measured numbers between the markers of README.md and docs/performance.md."""
    results: Results = json.loads((folder / "latest.json").read_text())
    runs: list[Results] = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    stale = [path for path, write in PAGES.items() if not _put(path, write(results, runs), check=check)]
    for path in stale:
        click.echo(f"{path.relative_to(ROOT)}: {'not up to date' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


def readme_part(results: Results, runs: list[Results]) -> str:
    """Return the short form: the drawing, the comparison, where it was measured, and what it was elsewhere."""
    table = markdown_table(SPEED_HEAD, speed_rows(results))
    picture = f"![Mails a second, way by way]({(RESULTS / 'speed.svg').relative_to(ROOT)})"
    elsewhere = markdown_table(RUNS_HEAD, run_rows(runs))
    where = f"{content_line(results)}. {machine_line(results)}."
    return f"{picture}\n\n{table}\n\n{where}\n\n{ELSEWHERE}\n\n{elsewhere}\n"


def docs_part(results: Results, _runs: list[Results]) -> str:
    """Return everything that was measured last."""
    parts = [markdown_table(SPEED_HEAD, speed_rows(results))]
    if rows := more_rows(results):
        parts.append(markdown_table(MORE_HEAD, rows))
    parts.append(f"{content_line(results)}. {machine_line(results)}. Measured {results['measured_at'][:10]}")
    return "\n\n".join(parts) + f" at commit {results['machine']['commit']}.\n"


def _put(path: Path, part: str, *, check: bool) -> bool:
    """Put the part between the markers; tells whether it stood there already. Raises ClickException without markers."""
    page = path.read_text()
    if not MARKED.search(page):
        raise click.ClickException(f"{path.relative_to(ROOT)} has no <!-- bench --> and <!-- /bench -->")
    changed = MARKED.sub(lambda _: part, page)
    if changed != page and not check:
        path.write_text(changed)
    return changed == page


PAGES: Final[dict[Path, Callable[[Results, list[Results]], str]]] = {
    ROOT / "README.md": readme_part,
    ROOT / "docs" / "performance.md": docs_part,
}


if __name__ == "__main__":
    report()
