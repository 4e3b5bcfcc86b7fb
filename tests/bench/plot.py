"""Bar charts as SVG: groups of horizontal bars, a series a colour, all on one scale.

Decides how they look. Refuses to know what they show.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

COLOURS = ("#4269d0", "#efb118", "#6cc5b0", "#ff725c", "#9c6b4e", "#97bbf5")
LABELS, BARS, NUMBERS, BAR, GAP, HEAD, LINE = 160, 560, 60, 9, 6, 44, 20  # pixels


def bars(title: str, series: list[str], rows: dict[str, list[float]], mark: float | None = None) -> str:
    """A chart with a group of bars for each row, whose values belong to the series in order; a line at `mark`."""
    largest = max([value for values in rows.values() for value in values] + [mark or 0.0]) or 1.0
    height = HEAD + sum(len(values) * BAR + GAP for values in rows.values()) + LINE
    width = LABELS + BARS + NUMBERS
    drawn = [*_legend(title, series), *_rows(rows, largest)]
    if mark is not None:
        x = LABELS + BARS * mark / largest
        drawn.append(f'<path d="M{x:.1f} {HEAD}V{height - LINE}" stroke="#888" stroke-dasharray="4 3"/>')
        drawn.append(_text(x, height - 6, f"{mark:g}", "middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="sans-serif" font-size="10"'
    return "\n".join([f"{head} {style}>", '<rect width="100%" height="100%" fill="#fff"/>', *drawn, "</svg>", ""])


def _legend(title: str, series: list[str]) -> Iterator[str]:
    yield _text(8, 16, title, "start", 'font-size="13" font-weight="bold"')
    for index, name in enumerate(series):
        x = 8 + 110 * index
        yield f'<rect x="{x}" y="26" width="{BAR}" height="{BAR}" fill="{COLOURS[index % len(COLOURS)]}"/>'
        yield _text(x + BAR + 4, 34, name, "start")


def _rows(rows: dict[str, list[float]], largest: float) -> Iterator[str]:
    y = HEAD
    for label, values in rows.items():
        yield _text(LABELS - 6, y + len(values) * BAR / 2 + 4, label, "end")
        for index, value in enumerate(values):
            length, colour = BARS * value / largest, COLOURS[index % len(COLOURS)]
            yield f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR - 1}" fill="{colour}"/>'
            yield _text(LABELS + length + 4, y + BAR - 1, f"{value:.2f}", "start")
            y += BAR
        y += GAP


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
