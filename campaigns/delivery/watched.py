"""An iterator that knows whether it has come to its end, for whoever shares it with one who may stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Watched(Iterator[Item]):
    """An iterator that remembers whether it came to its end."""

    def __init__(self, inner: Iterator[Item]) -> None:
        self._inner = inner
        self.exhausted = False

    def __next__(self) -> Item:
        try:
            return next(self._inner)
        except StopIteration:
            self.exhausted = True
            raise
