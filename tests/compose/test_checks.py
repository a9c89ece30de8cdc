"""The checks before sending find what would embarrass, and nothing in a sound campaign."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.compose.checks import CheckInput, Level, is_blocked, run_checks
from campaigns.compose.markdown import parse_body
from campaigns.compose.marks import Marks
from campaigns.compose.merge_tags import MergeProblem, ProblemKind

SOUND: dict[str, Any] = {
    "subject": "11월 소식",
    "preheader": "새 기능 세 가지",
    "body": "안녕하세요",
    "language": "ko",
    "version": 3,
    "tested_version": 3,
    "public_base_url": "https://news.example.com",
    "mail_leaves_machine": True,
    "sender_address": "news@example.com",
    "postal_address": "서울 중구",
}


def found(**changes: Any) -> dict[str, Level]:
    findings = run_checks(CheckInput(**{**SOUND, **changes}))
    return {finding.code: finding.level for finding in findings if finding.level is not Level.OK}


def found_in_body(body: str) -> dict[str, Level]:
    parsed = parse_body(body, Marks())
    return found(
        body=body,
        link_addresses=parsed.link_addresses,
        refused_addresses=parsed.refused_addresses,
        images_without_alt=parsed.images_without_alt,
        has_words=parsed.has_words,
    )


def test_a_sound_campaign_passes_every_check() -> None:
    findings = run_checks(CheckInput(**SOUND))
    assert {finding.level for finding in findings} == {Level.OK}
    assert not is_blocked(findings)


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"subject": " "}, "subject-missing", Level.BLOCK),
        ({"body": "\n"}, "body-missing", Level.BLOCK),
        ({"has_words": False}, "only-images", Level.WARN),
        ({"people_lacking": {"company": 31, "city": 0}}, "values-missing", Level.WARN),
        ({"html_bytes": 102_401}, "size-clipped", Level.WARN),
        ({"html_bytes": 90_000}, "size-large", Level.INFO),
        ({"subject": "가" * 31}, "subject-long", Level.INFO),
        ({"subject": "GREAT NEWS TODAY"}, "subject-capitals", Level.INFO),
        ({"subject": "RE: 소식"}, "subject-fake-reply", Level.INFO),
        ({"preheader": ""}, "preheader-missing", Level.INFO),
        ({"preheader": "11월 소식"}, "preheader-repeats", Level.INFO),
        ({"tested_version": None}, "test-missing", Level.WARN),
        ({"tested_version": 2}, "test-outdated", Level.WARN),
        ({"public_base_url": "http://127.0.0.1:8000"}, "public-address-local", Level.BLOCK),
        ({"sender_address": "carillon@localhost.localdomain"}, "sender-missing", Level.BLOCK),
        ({"postal_address": ""}, "postal-address-missing", Level.INFO),
    ],
)
def test_each_trouble_is_found_with_its_weight(changes: dict[str, Any], code: str, level: Level) -> None:
    assert found(**changes) == {code: level}


def test_a_local_public_address_is_fine_while_mail_stays_on_this_machine() -> None:
    assert found(public_base_url="http://localhost", mail_leaves_machine=False) == {}


def test_mistakes_in_merge_fields_block_and_say_where() -> None:
    problem = MergeProblem(ProblemKind.UNKNOWN_FIELD, 2, 1, "nmae", "name")
    findings = run_checks(CheckInput(**SOUND, problems={"body": (problem,)}))
    assert findings[0].code == "merge-problem"
    assert findings[0].part == "body"
    assert is_blocked(findings)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("[x](http://localhost:8000/a)", "link-local"),
        ("[x](https://127.0.0.1/)", "link-local"),
        ("[x](#)", "link-empty"),
        ("[x]()", "link-empty"),
        ("[x](/path)", "link-relative"),
        ("[x](example.com)", "link-relative"),
        ("[x](javascript:alert(1))", "link-refused"),
    ],
)
def test_links_that_lead_nowhere_block(body: str, code: str) -> None:
    assert found_in_body(body) == {code: Level.BLOCK}


@pytest.mark.parametrize(
    "body",
    ["[x](https://example.com/{{ email }})", "[x]({{ link }})", "[x](mailto:a@example.com)", "https://example.com"],
)
def test_links_that_lead_somewhere_pass(body: str) -> None:
    assert found_in_body(body) == {}


def test_pictures_need_a_description_and_words_beside_them() -> None:
    assert found_in_body("![](https://example.com/a.png)") == {"only-images": Level.WARN, "alt-missing": Level.WARN}
    assert found_in_body("글 ![설명](https://example.com/a.png)") == {}
