"""The caller's envelopes as dialogues take them, one at a time; all dialogues of one thread share one source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from campaigns.mail.smtp_envelope import Envelope, Message, Outcome, prepare
from campaigns.mail.smtp_session import Session

Settled = tuple[Envelope, Outcome]


class Source:
    """Envelopes, until they end, `stop()` says so, or an error comes up, which waits until the open ones are settled.

    `open` counts those taken and not settled; whoever passes an outcome on counts it down.
    """

    def __init__(self, envelopes: Iterator[Envelope | None], stop: Callable[[], bool]) -> None:
        self._envelopes = envelopes
        self._stop = stop
        self._settled: list[Settled] = []
        self.open = 0
        self.ended = False
        self.is_pausing = False  # the iterator is not asked again before nothing is open
        self.error: Exception | None = None
        self.refusal: Exception | None = None  # why no content may leave any more

    def take(self, session: Session) -> Message | None:
        """The next message; None when there is none now: the end, a pause, or one that was settled without sending."""
        if self.ended or (self.is_pausing and self.open):
            return None
        self.is_pausing = False
        try:
            if self._stop():
                self.ended = True
                return None
            envelope = next(self._envelopes)
        except StopIteration:
            self.ended = True
            return None
        except Exception as error:
            self.ended, self.error = True, error
            return None
        if envelope is None:
            self.is_pausing = True
            return None
        self.open += 1
        prepared = prepare(session, envelope)
        if isinstance(prepared, Message):
            return prepared
        self._settled.append((envelope, prepared))
        return None

    def refuse_content(self, error: Exception) -> None:
        """Let no content leave and no envelope be taken any more; the error goes on once the open ones are settled."""
        self.refusal = self.error = error
        self.ended = True

    def settled(self) -> Sequence[Settled]:
        """Those that could not be sent at all, each returned once."""
        if not self._settled:
            return ()
        settled, self._settled = self._settled, []
        return settled
