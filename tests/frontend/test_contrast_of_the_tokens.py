"""The colours people read are the ones measured here: the ratios come from app.css itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "static" / "app.css").read_text(encoding="utf-8")
STATES = ("danger", "warn", "ok", "info", "neutral", "pause")

TEXT = [
    *[
        ("text", ground)
        for ground in ("bg", "surface", "surface-2", "accent-soft", *(f"{state}-soft" for state in STATES))
    ],
    *[("muted", ground) for ground in ("bg", "surface", "surface-2")],
    *[("accent", ground) for ground in ("bg", "surface", "surface-2", "accent-soft")],
    *[("accent-hover", ground) for ground in ("bg", "surface", "surface-2", "accent-soft")],
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("on-danger", "danger"),
    *[(state, f"{state}-soft") for state in STATES],
    *[(state, "surface") for state in STATES],
]
CONTROLS = [
    *[("control", ground) for ground in ("bg", "surface")],
    *[("focus", ground) for ground in ("bg", "surface", "surface-2", "accent-soft")],
    *[(f"chart-{number}", "surface") for number in (1, 2, 3, 4)],
    *[(name, "surface-2") for name in ("accent", "chart-1", "chart-2", "danger", "info")],
]


def tokens(opening: str) -> dict[str, str]:
    block = CSS[CSS.index(opening) :].split("{", 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


LIGHT = tokens(":root {")
DARK = tokens(':root[data-theme="dark"]')


def ratio(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "ground"), TEXT)
def test_text_is_readable_on_its_ground(theme: dict[str, str], front: str, ground: str) -> None:
    assert ratio(theme[front], theme[ground]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "ground"), CONTROLS)
def test_controls_and_drawings_stand_out(theme: dict[str, str], front: str, ground: str) -> None:
    assert ratio(theme[front], theme[ground]) >= 3


def test_the_systems_dark_and_the_chosen_dark_are_the_same() -> None:
    assert tokens(':root:not([data-theme="light"])') == DARK
    assert set(LIGHT) == set(DARK)
