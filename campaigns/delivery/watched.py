"""An iterator that is counted and knows whether it has come to its end, for whoever shares it with one who may stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Watched(Iterator[Item]):
    """An iterator that remembers whether it came to its end, and how many of at most `most` it has given.

    A pause (None) is not counted. It goes on when it is full: to stop then is up to whoever asks.
    """

    def __init__(self, inner: Iterator[Item], *, most: int) -> None:
        self._inner = inner
        self._left = most
        self.exhausted = False

    def __next__(self) -> Item:
        try:
            item = next(self._inner)
        except StopIteration:
            self.exhausted = True
            raise
        if item is not None:
            self._left -= 1
        return item

    @property
    def is_full(self) -> bool:
        return self._left <= 0
