"""The names of the merge fields that Carillon fills in itself, in every mail."""

from __future__ import annotations

from typing import Final

BUILT_IN_FIELDS: Final = ("name", "email", "language", "site_name", "date", "unsubscribe_url")
