"""Every deed that is written into the activity log has its sentence, in words that people read."""

from __future__ import annotations

import ast
from pathlib import Path

from campaigns.audit.wording import ACTIONS, GROUPS, KINDS

ROOT = Path(__file__).resolve().parents[2]
RECORDERS = {"record_action", "record_once", "record_view", "record_export", "Deed"}


def calls() -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted((ROOT / "campaigns").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and name_of(node.func) in RECORDERS:
                found.append((str(path.relative_to(ROOT / "campaigns")), node))
    return found


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def strings_in(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def deeds_by_name() -> list[tuple[str, ast.Constant]]:
    """Return the values of each table that is called DEEDS."""
    found = []
    for path in sorted((ROOT / "campaigns").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                named = [name_of(target) for target in node.targets]
                values = [each for each in node.value.values if isinstance(each, ast.Constant)]
                found += [(str(path.relative_to(ROOT / "campaigns")), each) for each in values if "DEEDS" in named]
    return found


def test_every_recorded_deed_has_a_sentence_in_the_wording_of_the_log() -> None:
    assert calls()
    for where, call in calls():
        is_put_together = isinstance(call.args[0], ast.JoinedStr)
        for action in strings_in(call.args[0]):
            is_known = any(each.startswith(action) for each in ACTIONS) if is_put_together else action in ACTIONS
            assert is_known, f"{where}:{call.lineno}: add {action} to campaigns/audit/wording.py"


def test_every_deed_that_stands_in_a_table_has_a_sentence() -> None:
    assert deeds_by_name()
    for where, action in deeds_by_name():
        assert action.value in ACTIONS, f"{where}:{action.lineno}: add {action.value} to campaigns/audit/wording.py"


def test_every_kind_of_object_has_a_word() -> None:
    for where, call in calls():
        for argument in call.args[1:2]:
            if isinstance(argument, ast.Call) and name_of(argument.func) == "Target":
                kinds = strings_in(argument.args[0])
                assert kinds <= set(KINDS), f"{where}:{call.lineno}: add {kinds} to campaigns/audit/wording.py"


def test_every_group_of_deeds_has_a_word() -> None:
    assert {action.partition(".")[0] for action in ACTIONS} <= set(GROUPS)
