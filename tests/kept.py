"""What every application of a test run would work out for itself, and always alike: worked out once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.routing import Rule


class KeptTemplates(BytecodeCache):
    """Templates compiled once: half of a page test's time went into compiling."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if compiled := self._compiled.get(bucket.key):
            bucket.bytecode_from_string(compiled)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


class KeptRule(Rule):
    """A route whose builder of addresses is compiled once: nine tenths of making an application went into that."""

    _builders: ClassVar[dict[tuple[object, ...], Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (*self._trace, *sorted((self.defaults or {}).items()), append_unknown, self.rule)
        if key not in self._builders:
            self._builders[key] = super()._compile_builder(append_unknown)
        return self._builders[key]  # a function that is given its rule, and holds none


def keep_what_is_alike(flask: Any) -> None:
    """Have every application that this class makes use what is kept."""
    flask.url_rule_class = KeptRule
