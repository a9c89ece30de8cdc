"""Secrets in the database: encrypted with keys made of SECRET_KEY, so that a copy of the tables tells none of them.

Whatever SECRET_KEY_FALLBACKS still names can be read; what is written is always written with SECRET_KEY.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from campaigns.config import current_settings
from campaigns.errors import PermanentError

# RFC 5869 §3.2: the info parts these keys from all others made of the same SECRET_KEY. Changing it loses every secret.
_INFO = b"carillon secrets at rest v1"


class SecretNotReadable(PermanentError):
    """What is stored was encrypted with a key that is gone, or was tampered with."""


def encrypt(text: str) -> str:
    """Return `text` encrypted and signed, in ASCII, about a third longer and 100 characters; each time another."""
    return _fernet().encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Return the text that `encrypt` was given; raises SecretNotReadable."""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretNotReadable("a stored secret was encrypted with another SECRET_KEY") from error


def _fernet() -> MultiFernet:
    settings = current_settings()
    return _fernet_of((settings.secret_key, *settings.secret_key_fallbacks))


@lru_cache(maxsize=4)
def _fernet_of(secret_keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derive(key)) for key in secret_keys])


def _derive(secret_key: str) -> bytes:
    """Return a Fernet key: 32 bytes in URL-safe base64."""
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO)
    return base64.urlsafe_b64encode(hkdf.derive(secret_key.encode()))
