"""The private folder of sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from campaigns.errors import CarillonError


class UnsafeFolder(CarillonError):
    """The folder for sockets belongs to somebody else, or others may enter it."""


def make_private_folder(folder: Path) -> None:
    """Make a folder that only this user may enter; raises UnsafeFolder when one stands there that is not ours.

    The folder may lie in the shared temporary folder, where another user could have put one of that name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnsafeFolder(f"{folder} is not a folder of this user; remove it, or set INSTANCE_DIR to a shorter path.")
    folder.chmod(0o700)
