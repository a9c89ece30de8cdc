"""A journal on local disk: what one run handed over and what was answered, so that a killed process can be read.

One file for each running batch, append-only, without fsync: it survives the death of a process, not of the machine.
Three kinds of lines follow the first, which names the lease: `T` so many turns of the day's limit are used for those in
hand, `H` a message's content is about to leave, `A` the server has answered. Answers are written together with the next
`H`, before anything more leaves on their connections, so a kill leaves at most one message whose fate nobody knows for
each open connection.

The owner holds a lock on the file. Whoever gets that lock knows that the owner is dead, and may replay the file. A
journal of an earlier boot may lack its last lines: it proves what it says was answered, never that something was *not*
handed over.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

from campaigns.delivery.claims import Answer, Lease, Settlement
from campaigns.delivery.models import DeliveryState

SUFFIX = ".journal"
UNREADABLE = ".unreadable"

logger = logging.getLogger(__name__)


class Journal:
    """The journal of one run over one batch; used by one thread."""

    def __init__(self, folder: Path, lease: Lease) -> None:
        self._path = folder / f"{os.getpid()}-{token_hex(6)}{SUFFIX}"
        self._head = _head_line(lease)
        self._answers: list[str] = []
        self._file = -1

    def __enter__(self) -> Self:
        # It gets its name once it is locked: whoever finds an unlocked journal takes its owner for dead.
        draft = self._path.with_suffix(".new")
        self._file = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.write(self._file, self._head)
        draft.rename(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file when everything in it has been settled; after an error it is left, whole, to be replayed."""
        if error is None:
            self._path.unlink(missing_ok=True)
        else:
            with suppress(OSError):
                self._flush()
        os.close(self._file)

    def note_turns(self, mails: int) -> None:
        """Note how many turns the day has counted for the rows just claimed; raises OSError as `hand_over` does."""
        if mails:
            self._answers.append(f"T\t{mails}\n")
            self._flush()

    def hand_over(self, *positions: int) -> None:
        """Note that messages' contents are about to leave, and the answers that came since the last note.

        Raises OSError when the disk takes nothing more; none of the contents may leave then.
        """
        self._answers += [f"H\t{position}\n" for position in positions]
        self._flush()

    def answer(self, settlement: Settlement) -> None:
        """Remember an answer; it reaches the file with the next note, or when the run ends in an error."""
        self._answers.append(_answer_line(settlement))

    def _flush(self) -> None:
        data = "".join(self._answers).encode()
        written = os.write(self._file, data)
        if written != len(data):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError("the journal could not be written")
        self._answers.clear()

    def forget(self) -> None:
        """Empty the journal, since the database now holds all that it says."""
        self._answers.clear()
        os.ftruncate(self._file, len(self._head))


@dataclass
class DeadJournal:
    """What a dead owner's journal proves. `answered` is certain; `handed_over` without an answer is uncertain."""

    path: Path
    lease: Lease
    answered: dict[int, Settlement] = field(default_factory=dict)
    handed_over: set[int] = field(default_factory=set)
    turns: int = 0  # counted for the day, whether they were used or not
    is_complete: bool = False  # written in this boot, so that what it does not name was not handed over


def dead_journals(folder: Path) -> Iterator[DeadJournal]:
    """Yield the journal of each owner that has died, under our lock, and remove it once the caller has gone on.

    One that cannot be read is set aside, whole: with a line missing it would say that somebody was not handed over who
    was. When its lease has run out, all it was about are uncertain.
    """
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            journal = _read(path)
            if journal:
                yield journal
            path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
        except (ValueError, IndexError):
            logger.exception("a journal cannot be read and is set aside: %s", path.name)
            path.replace(path.with_suffix(UNREADABLE))
        finally:
            os.close(file)


def _read(path: Path) -> DeadJournal | None:
    lines = path.read_text(errors="replace").split("\n")
    head = lines[0].split("\t")
    if len(head) not in (7, 8):  # those of an earlier version do not say whose they were
        return None
    campaign_id, number, first, last = (int(value) for value in head[1:5])
    lease = Lease(campaign_id, number, first, last, head[5], *head[7:])
    journal = DeadJournal(path, lease, is_complete=head[6] == boot_id() != "")
    # What follows the last line break was cut off while it was written.
    for line in lines[1:-1]:
        _read_line(journal, line)
    return journal


def _read_line(journal: DeadJournal, line: str) -> None:
    kind, _, rest = line.partition("\t")
    if kind == "T":
        journal.turns = int(rest)
    elif kind == "H":
        journal.handed_over.add(int(rest))
    elif kind == "A":
        settlement = _settlement(rest)
        journal.answered[settlement.position] = settlement


def _head_line(lease: Lease) -> bytes:
    where = (lease.campaign_id, lease.number, lease.first_position, lease.last_position)
    values = (*where, lease.token, boot_id(), lease.worker)
    return ("J\t" + "\t".join(map(str, values)) + "\n").encode()


def _answer_line(settlement: Settlement) -> str:
    again_at = settlement.next_attempt_at.isoformat() if settlement.next_attempt_at else ""
    flags = f"{int(settlement.suppresses)}{int(settlement.counts_as_attempt)}"
    if settlement.answer:  # behind the flags, where an earlier version does not look
        flags = ";".join((flags, *map(str, settlement.answer)))
    reply = " ".join((settlement.reply or "").split())
    return f"A\t{settlement.position}\t{settlement.state}\t{settlement.reason or ''}\t{again_at}\t{flags}\t{reply}\n"


def _settlement(fields: str) -> Settlement:
    position, state, reason, again_at, flags, reply = fields.split("\t", 5)
    return Settlement(
        int(position),
        DeliveryState(state),
        reason or None,
        reply or None,
        datetime.fromisoformat(again_at) if again_at else None,
        suppresses=flags[0] == "1",
        counts_as_attempt=flags[1] == "1",
        answer=_answer(flags),
    )


def _answer(flags: str) -> Answer | None:
    _, *said = flags.split(";")
    return Answer(said[0], said[1], int(said[2]), said[3]) if len(said) == 4 else None


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return what tells this boot of the machine from others, or an empty string where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
