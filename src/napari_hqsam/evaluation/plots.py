"""Small plots as SVG, to stand in a page: lines, and points against a diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

# Okabe and Ito; the dashes and shapes say the same without colour.
COLOURS = {
    "sam": "#0072b2",
    "hq": "#e69f00",
    "hq+sam": "#009e73",
    "filled box": "#767676",
    "in-box Otsu": "#cc79a7",
}
_DASHES = {"sam": "6 3", "hq": "2 3", "filled box": "1 3", "in-box Otsu": "8 3 2 3"}
_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 26, 40


class _Frame:
    """Axes from `x_range` and 0 to 1, and what is drawn into them."""

    def __init__(
        self, title: str, x_label: str, y_label: str, x_range: tuple[float, float]
    ) -> None:
        self.low, self.high = x_range
        middle = _TOP + (_HEIGHT - _TOP - _BOTTOM) / 2
        self.parts = [
            _text(_WIDTH / 2, 16, title, "middle", "title"),
            _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, x_label, "middle"),
            f'<g transform="rotate(-90 12 {middle:g})">{_text(12, middle, y_label, "middle")}</g>',
        ]
        for i in range(6):
            y = i / 5
            x0, at = self.place(self.low, y)
            x1, _ = self.place(self.high, y)
            self.parts.append(f'<path class="grid" d="M{x0:.1f} {at:.1f}H{x1:.1f}"/>')
            self.parts.append(_text(x0 - 6, at + 4, f"{y:.1f}", "end"))

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.low) / (self.high - self.low)
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return _LEFT + across * width, _TOP + (1 - y) * height

    def ticks(self, values: Sequence[float]) -> None:
        for value in values:
            x, y = self.place(value, 0)
            self.parts.append(_text(x, y + 15, f"{value:g}", "middle"))

    def svg(self, description: str) -> str:
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">'
            f"<title>{escape(description)}</title>{''.join(self.parts)}</svg>"
        )


def line_plot(title: str, x_label: str, y_label: str, series: Mapping[str, Points]) -> str:
    """Lines over a common x, y from 0 to 1, with their names at the side.

    Parameters
    ----------
    title, x_label, y_label : str
    series : mapping of str to sequence of (x, y)
        By method, which has a colour and dashes of its own.
    """
    every = sorted({x for points in series.values() for x, _ in points})
    frame = _Frame(title, x_label, y_label, (every[0], max(every[-1], every[0] + 1e-9)))
    few = every if len(every) <= 6 else [x for x in every if x == 1 or x % 5 == 0]
    frame.ticks(few)
    for name, points in series.items():
        places = [frame.place(x, y) for x, y in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        style = f'stroke="{_colour(name)}" stroke-dasharray="{_DASHES.get(name, "")}"'
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
        frame.parts.append(f'<path class="line" {style} d="M{path}"/>')
        frame.parts.append(f'<g fill="{_colour(name)}">{dots}</g>')
    return _with_legend(frame.svg(f"{title}: {y_label} over {x_label}"), list(series))


def scatter_plot(title: str, x_label: str, y_label: str, points: Points) -> str:
    """Points in the unit square, and the line on which both are equal."""
    frame = _Frame(title, x_label, y_label, (0.0, 1.0))
    frame.ticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    (x0, y0), (x1, y1) = frame.place(0, 0), frame.place(1, 1)
    frame.parts.append(f'<path class="equal" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
    places = (frame.place(x, y) for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    frame.parts.append(f'<g class="dots">{dots}</g>')
    return _with_legend(frame.svg(f"{title}: {y_label} against {x_label}"), [])


def _with_legend(svg: str, names: Sequence[str]) -> str:
    keys = "".join(
        f'<span><svg width="26" height="8"><path class="line" stroke="{_colour(name)}" '
        f'stroke-dasharray="{_DASHES.get(name, "")}" d="M0 4H26"/></svg> {escape(name)}</span>'
        for name in names
    )
    return f'<figure>{svg}<figcaption class="legend">{keys}</figcaption></figure>'


def _colour(name: str) -> str:
    return COLOURS.get(name, "#333333")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    extra = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'
