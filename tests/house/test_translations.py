"""No string of a page, a mail or a message is missing in Korean, and placeholders are the same in both."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
PARTICLE = re.compile(r"%\(\w+\)[sd](은|는|이|가|을|를|와|과)(?=[\s.,]|$)")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    pot = tmp_path_factory.mktemp("pot") / "messages.pot"
    keywords = ["-k", "_l", "-k", "lazy_gettext", "-k", "ngettext:1,2", "-k", "lazy_ngettext:1,2"]
    command = [sys.executable, "-m", "babel.messages.frontend", "-q", "extract", "-F", "campaigns/translations.cfg"]
    subprocess.run([*command, *keywords, "-o", str(pot), "."], cwd=ROOT, check=True)
    with pot.open("rb") as file:
        return read_po(file)


@pytest.fixture(scope="module")
def korean() -> Catalog:
    with (ROOT / "campaigns/translations/ko/LC_MESSAGES/messages.po").open("rb") as file:
        return read_po(file, locale="ko")


def test_every_string_has_its_korean(wanted, korean):
    missing = [message.id for message in wanted if message.id and not is_translated(korean, message.id)]
    assert missing == []


def test_nothing_is_fuzzy_or_left_over(wanted, korean):
    assert [message.id for message in korean if message.id and message.fuzzy] == []
    assert [message.id for message in korean if message.id and message.id not in wanted] == []


def test_placeholders_are_the_same_and_carry_no_particle(korean):
    for message in korean:
        if not message.id:
            continue
        english = message.id if isinstance(message.id, str) else message.id[-1]
        text = message.string if isinstance(message.string, str) else message.string[0]
        assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(english)), english
        assert not PARTICLE.search(text), text


def is_translated(catalog: Catalog, message_id) -> bool:
    found = catalog.get(message_id if isinstance(message_id, str) else message_id[0])
    if found is None:
        return False
    return bool(found.string) if isinstance(found.string, str) else all(found.string)
