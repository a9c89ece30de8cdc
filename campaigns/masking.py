"""What may be kept or told elsewhere of an error: its words without addresses, tokens, passwords and stored values.

Errors quote what they stumbled over. A traceback in our table or in an error service must not become a second place
where people's data lives, so every text goes through `mask` before it is stored or sent.
"""

from __future__ import annotations

import re
import socket
from typing import Final

ADDRESS: Final = "[address]"
TOKEN: Final = "[token]"  # noqa: S105 - what stands in a token's place
HIDDEN: Final = "[hidden]"
LONG: Final = 16  # characters from which a word may be a token

# What a database says of the values of a statement: SQLAlchemy's list, and PostgreSQL's DETAIL and CONTEXT lines.
_SQL_VALUES = re.compile(r"\[parameters: .*?(?=\n\(Background|\n\[|\Z)", re.DOTALL)
_SQL_DETAIL = re.compile(r"(?m)^\s*(DETAIL|CONTEXT):.*$")
_LOG_IN = re.compile(r"(?<=://)[^\s/@'\"]*@(?=[\w.\[-])")
_MAIL = re.compile(r"(?i)(?:\"[^\"\n]{1,64}\"|[^\s@<>\"'(),:;\[\]=\\/`]+)(?:@|%40)[\w-]+(?:\.[\w-]+)+")
# What the README has workers called, and Celery's own word; their host is asked for apart.
_WORKER = re.compile(r"(?:celery|work|mail\.(?:now|bulk))(?:-\d+)?")
_NAMED = re.compile(
    r"(?i)\b([\w-]*(?:password|passwd|secret|token|api[_-]?key|authorization|cookie|dsn)['\"]?)"
    r"(\s*[=:]\s*)(?:(?:bearer|basic)\s+)?(?!\[)(\"[^\"]*\"|'[^']*'|[^\s,;&)}\]]+)"
)
_PIECE = r"[A-Za-z0-9_\-+=%]"
# A long run, with the shorter runs and dots that signed links have before and after it.
_WORD = re.compile(rf"(?:{_PIECE}{{3,}}\.)*{_PIECE}{{{LONG},}}(?:\.{_PIECE}{{4,}})*")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")


def mask(text: str) -> str:
    """Return a text without mail addresses, log-ins of addresses, tokens, named secrets and the values of statements.

    What looks like a name of our code stays, and so does what workers of this machine are called, so that an error can
    still be understood. A repeat changes nothing more.
    """
    for pattern, instead in ((_SQL_VALUES, "[parameters: hidden]"), (_SQL_DETAIL, r"\1: " + HIDDEN)):
        text = pattern.sub(instead, text)
    text = _LOG_IN.sub("", text)
    text = _MAIL.sub(_without_address, text)
    text = _NAMED.sub(rf"\1\2{HIDDEN}", text)
    return _WORD.sub(lambda found: TOKEN if _is_token(found.group()) else found.group(), text)


def _without_address(found: re.Match[str]) -> str:
    """Return what stands in an address's place. A worker is called like one: of another machine it is taken for it."""
    name, _at, host = found.group().rpartition("@")
    return found.group() if _WORKER.fullmatch(name) and host == socket.gethostname() else ADDRESS


def _is_token(word: str) -> bool:
    """Tell whether a long word is nobody's writing: capitals, small letters and digits in one piece, or hexadecimal."""
    return any(len(piece) >= LONG and _looks_random(piece) for piece in word.split("."))


def _looks_random(piece: str) -> bool:
    kinds = (str.isdigit, str.isupper, str.islower)
    return bool(_HEX.fullmatch(piece)) or all(any(map(kind, piece)) for kind in kinds)
