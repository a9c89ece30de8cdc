"""The ladder: a file imports downward only, at its top; a newcomer can read the house from the bottom up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AREAS = (
    "audit", "mail", "accounts", "team", "audience", "compose", "delivery", "tracking", "reports", "settings", "ops",
    "upkeep",
)  # fmt: skip
# Inside an area, a file imports its own rung and those below. Pure files and an engine's parts stand beside queries.
RUNGS = {"models": 0, "services": 2, "forms": 2, "tasks": 3, "commands": 4, "routes": 4}
OTHER_RUNG = 1
EDGES = {"forms", "tasks", "routes", "commands"}
# The outbox's one task may be started by every edge: whoever causes a mail sends it on its way.
SHARED_TASKS = {"campaigns.mail.tasks"}


def source_files() -> list[Path]:
    return [path for path in sorted((ROOT / "campaigns").rglob("*.py")) if "migrations" not in path.parts]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def area_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 2 and parts[1] in AREAS else None


def rung_of(area: str | None) -> int:
    return AREAS.index(area) if area else -1


def file_rung(module: str) -> int:
    return RUNGS.get(kind_of(module), OTHER_RUNG)


def is_edge(module: str) -> bool:
    return kind_of(module) in EDGES


def kind_of(module: str) -> str:
    """Return what kind of file this is: `account_routes` is of the kind `routes`, `failed_tasks` is about tasks."""
    name = module.rpartition(".")[2]
    return name if name == "tasks" else name.rpartition("_")[2].replace("tasks", "")


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    """Return (imported module, line, whether it stands inside a function)."""
    found: list[tuple[str, int, bool]] = []
    modules = {module_of(file) for file in source_files()}

    def visit(node: ast.AST, *, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    found.append((full if full in modules else child.module, child.lineno, inside))
            visit(child, inside=deeper)

    visit(ast.parse(path.read_text()), inside=False)
    return [row for row in found if row[0].startswith(("campaigns", "app"))]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    importer, area = module_of(path), area_of(module_of(path))
    for imported, line, inside_function in imports_of(path):
        where = f"{path.name}:{line} imports {imported}"
        assert not inside_function, f"{where} inside a function"
        assert imported.split(".")[0] != "app", f"{where}, the top"
        other = area_of(imported)
        if other == area and area is not None:
            assert file_rung(imported) <= file_rung(importer), f"{where}, which stands above it in the area"
        elif other is not None:
            assert rung_of(other) < rung_of(area), f"{where}, which stands above it in the house"
            allowed = (
                not is_edge(imported)
                or (imported in SHARED_TASKS)
                or (importer.startswith("campaigns.ops.") and imported.endswith("tasks"))
            )
            assert allowed, f"{where}, an edge of another area"


def test_services_do_not_import_tasks() -> None:
    for path in source_files():
        if is_edge(module_of(path)) or path.name in {"__init__.py", "blueprint.py"} or "ops" in path.parts:
            continue
        for imported, line, _ in imports_of(path):
            assert not imported.endswith(".tasks"), f"{path.name}:{line} imports {imported}"
