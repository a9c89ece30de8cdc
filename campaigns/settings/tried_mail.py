"""What came of a test mail, as it is kept and shown: every step with what was said, and where it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campaigns.mail.smtp import OutcomeKind
from campaigns.mail.transcript import Line, Step, Transcript


@dataclass(frozen=True)
class Failure:
    """Where it failed: phase, the server's code (0 without an answer), our reason, and the outcome's kind if any."""

    phase: str
    code: int
    reason: str
    kind: str = ""

    @property
    def is_uncertain(self) -> bool:
        """Whether the mail was handed over and the answer did not come."""
        return self.kind == OutcomeKind.UNCERTAIN


@dataclass(frozen=True)
class TriedMail:
    """A test mail that was tried."""

    was_taken: bool
    steps: Sequence[Step]
    failure: Failure | None = None

    @classmethod
    def of(cls, heard: Transcript) -> TriedMail:
        """Return what there is to keep of a session."""
        if heard.was_taken:
            return cls(True, heard.steps)
        if heard.refusal is not None:
            return cls(False, heard.steps, Failure(heard.refusal.phase, heard.refusal.code, heard.refusal.reason))
        if heard.outcome is not None:
            failed = heard.outcome
            return cls(False, heard.steps, Failure(failed.phase, failed.code, failed.reason, failed.kind))
        return cls(False, heard.steps)

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> TriedMail:
        """Return what was kept."""
        steps = [
            Step(each["name"], [Line(**line) for line in each["lines"]], failed=each["failed"])
            for each in kept["steps"]
        ]
        return cls(kept["was_taken"], steps, Failure(**kept["failure"]) if kept["failure"] else None)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON; what a server says may hold NUL, which PostgreSQL has no room for."""
        steps = [asdict(step) for step in self.steps]
        for line in (line for step in steps for line in step["lines"]):
            line["text"] = line["text"].replace("\0", "�")
        failure = {**asdict(self.failure), "reason": str(self.failure.reason)} if self.failure else None
        return {"was_taken": self.was_taken, "steps": steps, "failure": failure}
