"""Importing people: upload a file, watch it being read, see what came of every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask import Response, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from campaigns.audience import import_queries, imports
from campaigns.audience.blueprint import bp
from campaigns.audience.import_columns import Layout
from campaigns.audience.import_forms import ImportForm
from campaigns.audience.import_problems import FileProblem, RowProblem
from campaigns.audience.import_words import explain_file, explain_row
from campaigns.audience.models import ImportProblem, UserImport
from campaigns.audience.tasks import start_import
from campaigns.audit.services import Target, record_export, record_view
from campaigns.config import current_settings
from campaigns.csv_downloads import csv_response
from campaigns.presentation import format_number
from campaigns.security import Right, requires


@bp.get("/imports")
@requires(Right.MANAGE_USERS)
def list_imports() -> str:
    """Show all imports, the newest first."""
    page = import_queries.import_page(before=request.args.get("before", type=int))
    return render_template("audience/imports/list.html", page=page, percent_of=percent_of)


@bp.get("/imports/new")
@requires(Right.MANAGE_USERS)
def new_import() -> str:
    """Show the form for a file."""
    return _form_page(ImportForm())


@bp.post("/imports/new")
@requires(Right.MANAGE_USERS)
def upload_import() -> tuple[str, int] | AnyResponse:
    """Take a file and start its import."""
    form = ImportForm()
    if not form.validate():
        return _form_page(form), 422
    upload = form.file.data
    import_id = imports.take_upload(upload.stream, upload.filename or "", by=current_user.id)
    start_import(import_id)
    return redirect(url_for("audience.show_import", import_id=import_id), code=303)


@bp.get("/imports/sample.csv")
@requires(Right.MANAGE_USERS)
def sample_file() -> Response:
    """Answer with a small file that can be imported as it is."""
    header = ("email", "name", "language", "city", "plan")
    rows = (
        ("haneul@example.com", "김하늘", "ko", "서울", "free"),
        ("ada@example.com", "Ada Archer", "en", "London", "team"),
        ("minjun@example.org", "이민준", "ko", "부산", ""),
    )
    return csv_response("sample", header, rows)


@bp.get("/imports/<int:import_id>")
@requires(Right.MANAGE_USERS)
def show_import(import_id: int) -> str:
    """Show how far an import is, and what came of its rows."""
    each = imports.get_import(import_id)
    _note_view(each)
    return render_template("audience/imports/show.html", **_import_context(each))


@bp.get("/imports/<int:import_id>/live")
@requires(Right.MANAGE_USERS)
def import_live(import_id: int) -> str:
    """Show the part of the page that is polled."""
    each = imports.get_import(import_id)
    _note_view(each)
    return render_template("audience/imports/_live.html", **_import_context(each))


@bp.get("/imports/<int:import_id>/problems.csv")
@requires(Right.MANAGE_USERS)
def import_problems_file(import_id: int) -> Response:
    """Answer with every row that was not taken, or taken with a remark."""
    each = imports.get_import(import_id)
    record_export("import.exported", Target("import", import_id, each.file_name), rows=each.bad + each.noted)
    header = [_("Row"), _("Imported"), _("Value"), _("Problem")]
    return csv_response(f"import-{import_id}-rows", header, _problem_rows(import_queries.read_problems(import_id)))


def percent_of(each: UserImport) -> int:
    """Return how many of 100 parts are done, rounded down: 100 is only said when all are."""
    return 100 * each.rows_done // each.rows_total if each.rows_total else 0


def _note_view(each: UserImport) -> None:
    """The rows with problems hold addresses; without any the page shows nobody's."""
    if each.bad or each.noted:
        record_view("import.seen", Target("import", each.id, each.file_name))


def _form_page(form: ImportForm) -> str:
    limit = f"{format_number(current_settings().upload_limit_bytes // 1_000_000)} MB"
    return render_template("audience/imports/new.html", form=form, limit=limit)


def _import_context(each: UserImport) -> dict[str, Any]:
    counts = {} if each.is_running else import_queries.count_problems(each.id)
    return {
        "each": each,
        "percent": percent_of(each),
        "layout": Layout.from_dict(each.layout) if each.layout else None,
        "by": import_queries.who_imported(each),
        "refused": import_queries.first_problems(each.id, notes=False) if each.bad else [],
        "notes": import_queries.first_problems(each.id, notes=True) if each.noted else [],
        "unconfirmed": counts.get(RowProblem.UNCONFIRMED, 0),
        "most_shown": import_queries.MOST_SHOWN,
        "explain_row": explain_row,
        "error": explain_file(FileProblem(each.error), each.error_detail) if each.error else "",
    }


def _problem_rows(problems: Iterable[ImportProblem]) -> Iterator[tuple[int, str, str, str]]:
    yes, no = _("yes"), _("no")
    for each in problems:
        yield each.row_number, yes if each.is_note else no, each.value, explain_row(RowProblem(each.reason))
