"""What the README says of settings and commands is what the code has."""

from __future__ import annotations

import re

from flask import Flask

from campaigns.celery import ROUTES
from campaigns.ops.wording import task_words
from tests.parts import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLES = README.split("## Settings")[1].split("## Command line")[0]


def test_every_setting_is_in_the_readme_and_nothing_else() -> None:
    config = (ROOT / "campaigns" / "setting_groups.py").read_text(encoding="utf-8")
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', config)) - {"TESTING"}
    told = set(
        re.findall(r"`([A-Z][A-Z_]+)`", "".join(line.split("|")[1] for line in TABLES.splitlines() if "|" in line))
    )
    assert told == read


def test_the_defaults_of_numbers_are_those_of_the_code() -> None:
    config = (ROOT / "campaigns" / "setting_groups.py").read_text(encoding="utf-8")
    for name, default in re.findall(r'read\.whole\("([A-Z_]+)", default=([\d_]+)', config):
        (row,) = [line for line in TABLES.splitlines() if f"`{name}`" in line.partition(" | ")[0]]
        assert f"`{int(default)}`" in row


def test_every_make_target_named_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= targets


def test_every_task_has_words(app: Flask) -> None:
    assert [name for name in ROUTES if task_words(name) == name] == []
