"""Mail servers that have too few places for us: a note on local disk, which all processes of this machine read.

Who has the connections it wants never hears that another process gets none. So whoever was refused the only one it
asked for leaves a note, and for a while every run here is content with one connection, and every process with one idle.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from campaigns.clock import utcnow
from campaigns.mail.smtp import ServerSettings

SCARCE_SECONDS = 600


def note_scarcity(folder: Path, server: ServerSettings) -> None:
    """Note that a server has refused a run its first connection."""
    note, now = _note_of(folder, server), utcnow().timestamp()
    with suppress(OSError):  # who cannot write it is refused again
        note.touch()
        os.utime(note, (now, now))  # this machine's own clock may show another time


def is_scarce(folder: Path, server: ServerSettings) -> bool:
    """Tell whether a server has refused somebody here a first connection lately."""
    try:
        return utcnow().timestamp() - _note_of(folder, server).stat().st_mtime < SCARCE_SECONDS
    except OSError:
        return False


def _note_of(folder: Path, server: ServerSettings) -> Path:
    return folder / f"{sha256(server.address.encode()).hexdigest()[:16]}.scarce"
