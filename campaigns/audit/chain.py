"""The chain itself: what of an entry is hashed, and how. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

SEALED_FIELDS: Final = (
    "id", "at", "actor_id", "actor", "ip", "action", "target_kind", "target_id", "target", "before", "after", "reason",
)  # fmt: skip


def hash_entry(entry: Mapping[Any, Any], *, sequence: int, previous_hash: str) -> str:
    """Return the SHA-256 (hexadecimal) over every field of an entry, its place, and the hash of the entry before it.

    What is hashed is JSON in UTF-8 with sorted keys, no spaces and letters as they are; `at` in UTC with microseconds.
    The first entry's previous hash is empty.
    """
    fields = {name: entry[name] for name in SEALED_FIELDS}
    fields["at"] = entry["at"].astimezone(UTC).isoformat(timespec="microseconds")
    sealed = {**fields, "sequence": sequence, "previous_hash": previous_hash}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
