"""Plots as SVG, written by hand: the pages need no plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

# Two colours, first with full lines, then with dashes.
_STYLES = (("#c46a00", ""), ("#0b6e99", ""), ("#c46a00", "6 4"), ("#0b6e99", "6 4"))
_DOT = "#0b6e99"
_TEXT = 'font-family="sans-serif" font-size="12" fill="#222"'

Point = tuple[float, float]


def lines(series: Mapping[str, Sequence[Point]], x_label: str, y_label: str) -> str:
    """A line for each series of (x, y); y in percent, from 0."""
    left, top, width, height = 52.0, 14.0, 400.0, 240.0
    xs = sorted({x for points in series.values() for x, _ in points})
    highest = max(y for points in series.values() for _, y in points)
    limit = max(10.0, 10.0 * -(-highest // 10))
    x_span = (xs[-1] - xs[0]) or 1.0

    def place(point: Point) -> Point:
        x, y = point
        return left + (x - xs[0]) / x_span * width, top + (1 - y / limit) * height

    out = []
    step = 10 if limit <= 60 else 20
    for tick in range(0, int(limit) + 1, step):
        _, y = place((xs[0], tick))
        out.append(_line(left, y, left + width, y, "#e3e3e3"))
        out.append(_text(left - 8, y + 4, str(tick), "end"))
    for value in xs:
        x, _ = place((value, 0))
        out.append(_text(x, top + height + 18, f"{value:g}", "middle"))
    for i, (name, points) in enumerate(series.items()):
        colour, dashes = _STYLES[i % len(_STYLES)]
        placed = [place(p) for p in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dashes or "none"}"/>'
        )
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in placed]
        y = top + 10 + 20 * i
        out.append(_line(left + width + 20, y, left + width + 44, y, colour, 2, dashes))
        out.append(_text(left + width + 50, y + 4, name))
    out.append(_text(left + width / 2, top + height + 38, x_label, "middle"))
    middle = top + height / 2
    out.append(
        f'<text x="14" y="{middle}" {_TEXT} text-anchor="middle" '
        f'transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    return _svg(left + width + 190, top + height + 48, out)


def dots(rows: Mapping[str, Sequence[float]], x_label: str) -> str:
    """A row for each name: a dot for each value, a bar at their mean."""
    left, top, width, row = 330.0, 10.0, 380.0, 24.0
    values = [v for several in rows.values() for v in several]
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * width

    out = []
    bottom = top + row * len(rows)
    for i in range(5):
        value = low + (high - low) * i / 4
        out.append(_line(place(value), top, place(value), bottom, "#e3e3e3"))
        out.append(_text(place(value), bottom + 18, f"{value:.1f}", "middle"))
    for i, (name, several) in enumerate(rows.items()):
        y = top + row * (i + 0.5)
        out.append(_text(left - 12, y + 4, name, "end"))
        mean = place(sum(several) / len(several))
        out.append(_line(mean, y - 8, mean, y + 8, _DOT, 3))
        out += [
            f'<circle cx="{place(v):.1f}" cy="{y:.1f}" r="4" fill="{_DOT}" fill-opacity="0.45"/>'
            for v in several
        ]
    out.append(_text(left + width / 2, bottom + 38, x_label, "middle"))
    return _svg(left + width + 30, bottom + 48, out)


def _line(
    x0: float, y0: float, x1: float, y1: float, colour: str, width: int = 1, dashes: str = ""
) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes or "none"}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {_TEXT} text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )
