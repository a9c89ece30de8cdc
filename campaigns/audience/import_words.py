"""What is wrong with a file or a row, in words: what happened, why, and what to do."""

from __future__ import annotations

from flask_babel import gettext as _

from campaigns.audience.import_problems import FileProblem, RowProblem
from campaigns.audience.import_rows import LONGEST_ATTRIBUTE, LONGEST_PERSON_NAME


def explain_file(problem: FileProblem, detail: str = "") -> str:
    """Return why a file cannot be imported and what to do about it, in the language of this request."""
    words = {
        FileProblem.EMPTY: _("The file is empty."),
        FileProblem.NO_ROWS: _("The file has no rows below the names of the columns."),
        FileProblem.SPREADSHEET: _(
            "This is a spreadsheet, not a CSV file. Open it in the spreadsheet program and save it as “CSV UTF-8”."
        ),
        FileProblem.ARCHIVE: _("This is a compressed file. Unpack it and choose the CSV file inside."),
        FileProblem.NOT_TEXT: _("This is not a text file. Choose a CSV file."),
        FileProblem.ENCODING: _(
            "The characters of line %(line)s are neither UTF-8 nor CP949. Save the file as “CSV UTF-8” and choose it "
            "again.",
            line=detail,
        ),
        FileProblem.NO_EMAIL_COLUMN: _(
            "No column holds e-mail addresses. Name one of them “email” in the first row. The columns are: %(columns)s",
            columns=detail,
        ),
        FileProblem.SEVERAL_EMAIL_COLUMNS: _(
            "More than one column could hold the e-mail addresses: %(columns)s. Rename all but one of them.",
            columns=detail,
        ),
        FileProblem.NO_COLUMN_NAMES: _(
            "The first row does not name the columns. Add a first row such as “email,name,language”."
        ),
        FileProblem.SAME_COLUMN_TWICE: _("Two columns have the same name: %(name)s. Rename one of them.", name=detail),
        FileProblem.BUILT_IN_COLUMN_NAME: _(
            "A column is called %(name)s, and that merge field is filled in for every mail already: its values would "
            "never be seen. Give the column another name, such as %(other)s.",
            name=detail,
            other=f"my_{detail}",
        ),
        FileProblem.LONG_COLUMN_NAME: _("The name of a column is too long: %(name)s. Shorten it.", name=detail),
        FileProblem.TOO_MANY_COLUMNS: _(
            "The file has too many columns (%(count)s). Remove those that you do not need.", count=detail
        ),
        FileProblem.GONE: _("The file is no longer there. Import it again."),
        FileProblem.GAVE_UP: _(
            "The import stopped several times at the same place and was given up. What was saved until then stays. "
            "Look at the failed tasks on the jobs page, then import the file again."
        ),
    }
    return str(words[problem])


def explain_row(problem: RowProblem) -> str:
    """Return why a row was not taken, or what is to be said of it, in the language of this request."""
    words = {
        RowProblem.NO_ADDRESS: _("The e-mail address is missing."),
        RowProblem.ADDRESS: _("This is not an e-mail address."),
        RowProblem.ADDRESS_AT: _("An e-mail address has exactly one @."),
        RowProblem.ADDRESS_DOMAIN: _("The part after the @ is not right."),
        RowProblem.ADDRESS_WIDE: _("The address has full-width characters. Type it again in half width."),
        RowProblem.ADDRESS_LONG: _("The address is too long."),
        RowProblem.LONG_VALUE: _(
            "A value is too long: at most %(name)s characters for the name, %(other)s for others.",
            name=LONGEST_PERSON_NAME,
            other=f"{LONGEST_ATTRIBUTE:,}",
        ),
        RowProblem.CONTROL_CHARACTERS: _("A value has characters that cannot be shown."),
        RowProblem.TOO_MANY_VALUES: _("The row has more values than there are columns."),
        RowProblem.QUOTES: _("The quotation marks do not match."),
        RowProblem.ROW_LONG: _("The row is too long."),
        RowProblem.UNCONFIRMED: _(
            "Signed up and has not confirmed the address yet. Gets announcements only after confirming it."
        ),
        RowProblem.UNSUBSCRIBED: _("Unsubscribed. Still gets no announcements."),
        RowProblem.SUPPRESSED: _("On the suppression list. Still gets no announcements."),
        RowProblem.LANGUAGE: _("This language is not known. The language was left as it is."),
    }
    return str(words[problem])
