"""The ways in which mail goes over several connections at once, each to a server that can treat them differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from campaigns.mail.smtp import Connection, Envelope, Outcome, OutcomeKind, Security, open_connection, send_over
from tests.mail.scripted_server import DEFAULTS, ScriptedServer, Talk, envelope

TLS = {"security": Security.TLS, "host": "localhost"}
WAYS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "pipelined": (["PIPELINING"], {}),
    "plain": ([], {}),
    "chunked": (["PIPELINING", "CHUNKING"], {"use_chunking": True}),
    "chunked step by step": (["CHUNKING"], {"use_chunking": True}),
    "pipelined over TLS": (["PIPELINING"], TLS),
    "plain over TLS": ([], TLS),
}
MOST_MAILS = 100_000


class Way:
    """A server and how it is talked to. Steps are named as its answers are, but `content` for what answers that.

    `came`: which connection, by its number, got whose content, in order. `noted`: whose content was about to leave.
    `settled`: what is known of whom. They can be looked at from everywhere.
    """

    def __init__(self, server: ScriptedServer, changes: dict[str, Any]) -> None:
        self.server = server
        self.came: list[tuple[int, int]] = []
        self.came_unnoted: list[int] = []
        self.noted: list[int] = []
        self.settled: dict[int, Outcome] = {}
        self._changes = changes
        self._opened: list[Connection] = []
        self._scripts: dict[tuple[str, int], list[Any]] = {}
        self._content_step = "bdat" if "use_chunking" in changes else "dot"
        server.answers[self._content_step] = self._answer_content

    @property
    def steps(self) -> list[str]:
        """Those of one mail, in their order."""
        return ["mail", "rcpt", *(["data"] if self._content_step == "dot" else []), "content"]

    @property
    def last_before_content(self) -> str:
        return self.steps[-2]

    def open(self, count: int, **changes: Any) -> list[Connection]:
        """Open so many connections; the server numbers them in this order."""
        settings = self.server.settings(**{**self._changes, **changes})
        opened = [open_connection(settings) for _ in range(count)]
        self._opened += opened
        return opened

    def close(self) -> None:
        """Close what is open, without a word."""
        for connection in self._opened:
            connection.abort()

    def script(self, number: int, step: str, *answers: Any) -> None:
        """Let one connection get these answers, and then, and for None, what all others get."""
        self._scripts[step, number] = list(answers)
        if step != "content":
            self.server.answers[step] = lambda talk: self._next_answer(step, DEFAULTS[step], talk)

    def send(
        self,
        connections: Sequence[Connection],
        source: Iterator[Envelope | None],
        handing_over: Callable[[Sequence[Envelope]], None] | None = None,
        **more: Any,
    ) -> dict[int, OutcomeKind]:
        """Send it all, each mail settled once, and return what came of it."""
        for each, outcome in send_over(connections, source, handing_over or self.note, **more):
            assert each.ref not in self.settled
            self.settled[each.ref] = outcome
        return self.kinds

    @property
    def kinds(self) -> dict[int, OutcomeKind]:
        return {ref: outcome.kind for ref, outcome in self.settled.items()}

    def note(self, leaving: Sequence[Envelope]) -> None:
        self.noted += [each.ref for each in leaving]

    def over(self, number: int) -> list[int]:
        """Whose content came over one connection."""
        return [ref for each, ref in self.came if each == number]

    def _answer_content(self, talk: Talk) -> Any:
        if not talk.recipients:
            return DEFAULTS[self._content_step]  # a lone dot
        ref = int("".join(filter(str.isdigit, talk.recipients[0])))
        if ref not in self.noted:
            self.came_unnoted.append(ref)
        self.came.append((talk.number, ref))
        return self._next_answer("content", DEFAULTS[self._content_step], talk)

    def _next_answer(self, step: str, usual: str, talk: Talk) -> Any:
        answers = self._scripts.get((step, talk.number))
        answer = (answers.pop(0) if answers else None) or usual
        return answer(talk) if callable(answer) else answer


def until(condition: Callable[[], object]) -> Iterator[Envelope]:
    """Give mails until the condition holds, or as many as anybody can want."""
    return (envelope(number) for number in takewhile(lambda _: not condition(), range(MOST_MAILS)))
