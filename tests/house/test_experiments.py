"""What the tables of the tests name exists: each experiment of the engine has its tests, found under their names."""

from __future__ import annotations

import re
from pathlib import Path

import tests.drill

FOLDER = Path(tests.drill.__file__).parent
EXPERIMENTS = 21


def test_every_experiment_stands_in_the_table():
    numbers = re.findall(r"^ ?(\d+)  \S", tests.drill.__doc__ or "", re.MULTILINE)
    assert numbers == [str(number) for number in range(1, EXPERIMENTS + 1)]


def test_every_test_that_the_table_names_exists():
    named = re.findall(r"(test_\w+)::(test_\w+)", tests.drill.__doc__ or "")
    assert len(named) >= EXPERIMENTS
    missing = [
        f"{file}::{function}"
        for file, function in named
        if f"\ndef {function}(" not in (FOLDER / f"{file}.py").read_text()
    ]
    assert missing == []
