"""Draws bar charts as plain SVG: a page of text that changes only where the figures do."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 760
LABEL: Final = 270
BAR: Final = 20
GAP: Final = 10
TOP: Final = 44
COLOURS: Final = ("#2f6f9f", "#d98a29", "#6a9e4b")
# A background of its own, so that it can be read on a dark page.
_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
)


class Row(NamedTuple):
    """One bar: its label and the values that are stacked in it."""

    label: str
    values: tuple[float, ...]


def draw_bars(title: str, unit: str, rows: Sequence[Row], series: Sequence[str] = ()) -> str:
    """Draw one horizontal bar for each row.

    Args:
        title: what is shown.
        unit: of the values.
        rows: from top to bottom.
        series: what the stacked values are, where there are several.
    """
    height = TOP + len(rows) * (BAR + GAP) + (24 if series else 0)
    largest = max((sum(row.values) for row in rows), default=0.0) or 1.0
    scale = (WIDTH - LABEL - 90) / largest
    parts = [_HEAD.format(width=WIDTH, height=height), _text(10, 24, f"{title} ({unit})", bold=True)]
    for number, row in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        parts.append(_text(LABEL - 8, y + 15, row.label, anchor="end"))
        x = float(LABEL)
        for value, colour in zip(row.values, COLOURS, strict=False):
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"/>\n')
            x += value * scale
        parts.append(_text(round(x) + 6, y + 15, write_figure(sum(row.values))))
    for number, (name, colour) in enumerate(zip(series, COLOURS, strict=False)):
        x = LABEL + number * 130
        parts.append(f'<rect x="{x}" y="{height - 20}" width="12" height="12" fill="{colour}"/>\n')
        parts.append(_text(x + 18, height - 9, name))
    return "".join([*parts, "</svg>\n"])


def _text(x: int, y: int, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{weight}>{escape(text)}</text>\n'


def write_figure(value: float) -> str:
    """Write a figure with three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
