"""Every problem and finding can be said, in both languages."""

from __future__ import annotations

import pytest
from flask import Flask
from flask_babel import force_locale

from campaigns.compose import wording
from campaigns.compose.checks import Finding, Level
from campaigns.compose.merge_tags import MergeProblem, ProblemKind

VALUES = {"problem": MergeProblem(ProblemKind.BAD_TAG, 1, 2, "{% x %}"), "count": 2, "name": "회사", "address": "x",
          "bytes": 120_000, "most": 30}  # fmt: skip


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_problem_and_finding_has_words(app: Flask, language: str) -> None:
    with app.test_request_context(), force_locale(language):
        for kind in ProblemKind:
            sentence = wording.describe_problem(MergeProblem(kind, 3, 7, "회사", "company"))
            assert "3" in sentence
            assert "company" in sentence
            assert "%%" not in sentence
        for code in wording._FINDINGS:
            assert wording.describe_finding(Finding(Level.WARN, code, values=VALUES))
        for code in wording._PASSED:
            assert wording.describe_finding(Finding(Level.OK, code))
