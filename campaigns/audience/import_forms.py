"""The form that a file is uploaded with."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from wtforms.validators import ValidationError

from campaigns.audience.csv_files import HEAD_BYTES, refuse_what_is_no_text
from campaigns.audience.import_problems import FileRefused
from campaigns.audience.import_words import explain_file


class ImportForm(FlaskForm):  # type: ignore[misc]
    """One file; what can be told from its beginning is told at once, the rest when it is checked."""

    file = FileField(_l("CSV file"), validators=[FileRequired(_l("Choose a file."))])

    def validate_file(self, field: FileField) -> None:
        """Refuse what is empty or no text."""
        head = field.data.stream.read(HEAD_BYTES)
        field.data.stream.seek(0)
        try:
            refuse_what_is_no_text(head)
        except FileRefused as refused:
            raise ValidationError(explain_file(refused.problem, refused.detail)) from refused
