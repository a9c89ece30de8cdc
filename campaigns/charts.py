"""Geometry of the drawings: numbers in, SVG path data out. Pure, so that a template holds no arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt

CELL = 24
BOX = 20
MOST_CELLS = 400
MOST_POINTS = 200


@dataclass(frozen=True)
class Grid:
    """A drawn batch grid: its size in user units, one path per state, and how many batches one cell stands for."""

    width: int
    height: int
    paths: Mapping[str, str]
    counts: Mapping[str, int]
    per_cell: int


@dataclass(frozen=True)
class Plot:
    """A line chart on a plane of 1000 × 100 units: one path per series, the y ticks from top to bottom."""

    paths: Sequence[str]
    ticks: Sequence[float]
    limit_y: float | None


@dataclass(frozen=True)
class Slice:
    """One part of a stacked bar, in percent of the whole."""

    start: float
    width: float


def grid(states: Sequence[str]) -> Grid:
    """Draw one cell per batch, in order; from 401 batches on, one cell per several, showing the worst of them.

    States: `done`, `sending`, `retrying`, `failed`, `cancelled`, `waiting`.
    """
    per_cell = max(1, ceil(len(states) / MOST_CELLS))
    cells = [_worst(states[at : at + per_cell]) for at in range(0, len(states), per_cell)]
    columns = _columns(len(cells))
    paths: dict[str, list[str]] = {}
    for index, state in enumerate(cells):
        paths.setdefault(state, []).append(_cell(state, index % columns * CELL, index // columns * CELL))
    return Grid(
        width=columns * CELL,
        height=max(1, ceil(len(cells) / columns)) * CELL,
        paths={state: "".join(parts) for state, parts in paths.items()},
        counts={state: states.count(state) for state in dict.fromkeys(states)},
        per_cell=per_cell,
    )


def plot(series: Sequence[Sequence[float | None]], limit: float | None = None) -> Plot:
    """Draw lines that share one axis from 0 to a round number; `limit` is a value for a horizontal line.

    None is a value that nobody knows: the line has a gap there.
    """
    thinned = [thin(values) for values in series]
    top = _round_top(max([0.0, limit or 0.0, *(value for values in thinned for value in values if value is not None)]))
    return Plot(
        paths=[line(values, top) for values in thinned],
        ticks=[top, top * 2 / 3, top / 3, 0] if top % 3 == 0 else [top, top / 2, 0],
        limit_y=None if limit is None else round(100 - 100 * limit / top, 2),
    )


def slices(values: Sequence[float]) -> list[Slice]:
    """Place the parts of a whole one after another."""
    total = sum(values)
    placed: list[Slice] = []
    start = 0.0
    for value in values:
        width = 100 * value / total if total else 0.0
        placed.append(Slice(round(start, 3), round(width, 3)))
        start += width
    return placed


def line(values: Sequence[float | None], top: float) -> str:
    """Return the path of one line on the plane of 1000 × 100 units; `top` is the value at its upper edge."""
    step = 1000 / max(1, len(values) - 1)
    strokes: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            strokes.append([])
        else:
            strokes[-1].append(f"{index * step:.1f} {100 - 100 * value / (top or 1):.2f}")
    return "".join(_stroke(points, whole=len(values) == 1) for points in strokes if points)


def _stroke(points: list[str], *, whole: bool) -> str:
    """Join points; one by itself is drawn all the way when it is all there is, and else as a dot."""
    if len(points) > 1:
        return "M" + "L".join(points)
    return f"M{points[0]}L1000 {points[0].split()[1]}" if whole else f"M{points[0]}h4"


def thin(values: Sequence[float | None], most: int = MOST_POINTS) -> list[float | None]:
    """Keep at most `most` values, evenly spread, always the first and the last."""
    if len(values) <= most:
        return list(values)
    step = (len(values) - 1) / (most - 1)
    return [values[round(index * step)] for index in range(most)]


def _columns(count: int) -> int:
    return min(40, max(10, ceil(sqrt(count * 5)))) if count > 10 else max(1, count)


_WORST_FIRST = ("failed", "retrying", "sending", "waiting", "cancelled", "done")


def _worst(states: Sequence[str]) -> str:
    return next((state for state in _WORST_FIRST if state in states), states[0])


def _cell(state: str, left: int, top: int) -> str:
    """Each state has its own form, so that colour is never the only sign."""
    x, y = left + 2, top + 2
    box = f"M{x} {y}h{BOX}v{BOX}h-{BOX}z"
    if state == "sending":
        return f"{box}M{x + 7} {y + 7}v6h6v-6z"
    if state == "retrying":
        return f"M{x} {y + BOX // 2}h{BOX}v{BOX // 2}h-{BOX}z"
    if state == "failed":
        return f"M{x} {y}h{BOX - 9}l9 9v{BOX - 9}h-{BOX}z"
    if state == "cancelled":
        return f"M{x} {y + 8}h{BOX}v4h-{BOX}z"
    if state == "waiting":
        return f"M{x + 1} {y + 1}h{BOX - 2}v{BOX - 2}h-{BOX - 2}z"
    return box


def _round_top(value: float) -> float:
    """The next of 1, 2, 3, 5, 6, 8 times a power of ten, so that the ticks are numbers people read at a glance."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 3, 5, 6, 8) if step * power >= value), 10 * power)
