"""The comparison as a drawing: horizontal bars in the colours of the site's charts, for light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from campaigns.ops.processes import ROOT

WIDTH: Final = 840
LEFT: Final = 24
TOP: Final = 68
ROW: Final = 52
BAR: Final = 18
LABEL_ROOM: Final = 150
COLOURS: Final = ("surface", "border", "text", "muted", "chart-1", "chart-4")


def draw_speed(ways: Sequence[dict[str, Any]], title: str, subtitle: str) -> str:
    """Return an SVG of the ways' rates. The colours are those of static/app.css, chosen by the reader's setting."""
    height = TOP + ROW * len(ways) + 20
    top = max(way["rate"] for way in ways)
    rows = "\n".join(_row(way, TOP + ROW * index, top) for index, way in enumerate(ways))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" \
aria-labelledby="title description">
<title id="title">{escape(title)}</title>
<desc id="description">{escape(_in_words(ways))}</desc>
<style>
{_style()}
</style>
<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>
<text class="title" x="{LEFT}" y="34">{escape(title)}</text>
<text class="small" x="{LEFT}" y="54">{escape(subtitle)}</text>
{rows}
</svg>
"""


def _row(way: dict[str, Any], y: int, top: float) -> str:
    width = max(2.0, (WIDTH - 2 * LEFT - LABEL_ROOM) * way["rate"] / top)
    kind = "ours" if way["key"].startswith("carillon") else "others"
    return (
        f'<text x="{LEFT}" y="{y + 16}">{escape(way["name"])}</text>\n'
        f'<rect class="{kind}" x="{LEFT}" y="{y + 24}" width="{width:.1f}" height="{BAR}" rx="2"/>\n'
        f'<text class="number" x="{LEFT + width + 8:.1f}" y="{y + 38}">{way["rate"]:,.0f}</text>'
    )


def _in_words(ways: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{way['name']}: {way['rate']:,.0f}" for way in ways)


def _style() -> str:
    light, dark = colours()
    return f"""\
text {{ font: 15px system-ui, -apple-system, "Segoe UI", sans-serif; fill: {light["text"]}; }}
.title {{ font-size: 18px; font-weight: 650; }}
.small {{ font-size: 13px; fill: {light["muted"]}; }}
.number {{ font-weight: 650; font-variant-numeric: tabular-nums; }}
.ground {{ fill: {light["surface"]}; stroke: {light["border"]}; }}
.ours {{ fill: {light["chart-1"]}; }}
.others {{ fill: {light["chart-4"]}; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: {dark["text"]}; }}
  .small {{ fill: {dark["muted"]}; }}
  .ground {{ fill: {dark["surface"]}; stroke: {dark["border"]}; }}
  .ours {{ fill: {dark["chart-1"]}; }}
  .others {{ fill: {dark["chart-4"]}; }}
}}"""


def colours() -> tuple[dict[str, str], dict[str, str]]:
    """Return the light and the dark colours as the site's style sheet defines them, in this order."""
    sheet = (ROOT / "static" / "app.css").read_text()
    found = {name: re.findall(rf"--{name}: (#[0-9a-f]{{6}})", sheet) for name in COLOURS}
    return {name: values[0] for name, values in found.items()}, {name: values[1] for name, values in found.items()}
