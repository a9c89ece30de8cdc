"""What the drill's mail server accepted: one line a mail, appended before the answer was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Accepted:
    """One mail that the server owns. `is_answered`: it said so, though the sender may have been dead by then."""

    at: float
    recipient: str
    message_id: str
    is_answered: bool


def record_line(mail: Accepted) -> bytes:
    """Return the line of one mail."""
    return f"{mail.at:.3f}\t{mail.recipient}\t{mail.message_id}\t{int(mail.is_answered)}\n".encode()


def read_record(path: Path) -> Iterator[Accepted]:
    """Yield every mail of a record in the order in which they were accepted."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            at, recipient, message_id, is_answered = line.rstrip("\n").split("\t")
            yield Accepted(float(at), recipient, message_id, is_answered == "1")
