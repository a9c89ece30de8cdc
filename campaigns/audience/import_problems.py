"""What can be wrong with a file or a row: stable codes that are stored, and are put into words where they are shown."""

from __future__ import annotations

from enum import StrEnum

from campaigns.errors import CarillonError


class FileProblem(StrEnum):
    """Why a file as a whole cannot be imported."""

    EMPTY = "empty"
    NO_ROWS = "no_rows"  # nothing below the names of the columns
    SPREADSHEET = "spreadsheet"
    ARCHIVE = "archive"
    NOT_TEXT = "not_text"  # a picture, a PDF, a program
    ENCODING = "encoding"  # the detail is the line
    NO_EMAIL_COLUMN = "no_email_column"  # the detail is what the columns are called
    SEVERAL_EMAIL_COLUMNS = "several_email_columns"
    NO_COLUMN_NAMES = "no_column_names"
    SAME_COLUMN_TWICE = "same_column_twice"
    BUILT_IN_COLUMN_NAME = "built_in_column_name"  # the name of a merge field that is filled in without it
    LONG_COLUMN_NAME = "long_column_name"
    TOO_MANY_COLUMNS = "too_many_columns"
    GONE = "gone"
    GAVE_UP = "gave_up"


class RowProblem(StrEnum):
    """Why a row was not taken, or, for the last ones, what is to be said of a row that was."""

    NO_ADDRESS = "no_address"
    ADDRESS = "address"
    ADDRESS_AT = "address_at"  # not exactly one @
    ADDRESS_DOMAIN = "address_domain"
    ADDRESS_WIDE = "address_wide"  # full-width letters, as an input method leaves them
    ADDRESS_LONG = "address_long"
    LONG_VALUE = "long_value"
    CONTROL_CHARACTERS = "control_characters"
    TOO_MANY_VALUES = "too_many_values"
    QUOTES = "quotes"  # a quotation mark that is never closed, or with text behind it
    ROW_LONG = "row_long"
    # Notes: the row was taken.
    UNCONFIRMED = "unconfirmed"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    LANGUAGE = "language"


class FileRefused(CarillonError):
    """The file cannot be imported; `problem` says why and `detail` where."""

    def __init__(self, problem: FileProblem, detail: str = "") -> None:
        super().__init__(f"{problem} {detail}".strip())
        self.problem = problem
        self.detail = detail
