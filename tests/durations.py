"""The files that take longest, so that they begin first: `python -m tests.durations report.xml` reads them anew.

`make test ARGS=--junitxml=report.xml` writes the report. The numbers need not be right, only nearly in order.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parent
LIST = TESTS / "durations.txt"
WORTH_NAMING_SECONDS = 5
_seconds = {name: int(seconds) for seconds, name in re.findall(r"^ *(\d+) (\S+)$", LIST.read_text(), re.MULTILINE)}


def seconds_of(path: Path) -> int:
    """Return how long the tests of a file took, 0 for short ones and new ones."""
    return _seconds.get(path.relative_to(TESTS).as_posix(), 0)


def write_list(*reports: str) -> None:
    """Make the list of reports as pytest writes them."""
    spent: Counter[str] = Counter()
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            spent[case.get("classname", "").removeprefix("tests.").replace(".", "/") + ".py"] += float(
                case.get("time", 0)
            )
    lines = [f"{seconds:4.0f} {name}" for name, seconds in spent.most_common() if seconds >= WORTH_NAMING_SECONDS]
    LIST.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    write_list(*sys.argv[1:])
