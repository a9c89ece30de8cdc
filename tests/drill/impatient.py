"""Loaded into a worker (`-I tests.drill.impatient`): it waits three seconds for a database that is away, not 600."""

from __future__ import annotations

from campaigns import patience

patience.PATIENCE_SECONDS = 3
