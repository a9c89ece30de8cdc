"""Secrets that a site makes for itself and keeps in its instance folder."""

from __future__ import annotations

import secrets
from pathlib import Path


def kept_secret(path: Path, *, size_bytes: int) -> str:
    """Return the secret kept at `path`, made by whoever comes first; two first callers agree on one.

    The file is readable by its owner alone, and appears whole: nobody reads half a secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_suffix(f".{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(size_bytes))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
