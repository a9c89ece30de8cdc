"""Password hashes: argon2id with the parameters that OWASP recommends."""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

# OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Checked for people who do not exist, so that an answer takes the same time whether they do. No password is known to
# have it; making one would keep every process waiting that starts.
_NOBODY = f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}${'A' * 22}${'A' * 43}"


def hash_password(password: str) -> str:
    """Return the hash to store for `password`."""
    return _hasher.hash(_normalise(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Tell whether `password` fits; takes the same time when there is no hash at all."""
    try:
        return _hasher.verify(password_hash or _NOBODY, _normalise(password)) and password_hash is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


def needs_rehash(password_hash: str) -> bool:
    """Tell whether the hash was made with older parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _normalise(password: str) -> str:
    """Hangul typed on a Mac arrives as single letters, on Windows as syllables (RFC 8265 §4.2: one form for both)."""
    return unicodedata.normalize("NFKC", password)
