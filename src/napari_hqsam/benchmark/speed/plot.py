"""Ratios beside their targets, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_hqsam.benchmark.figures import Figure, Report

_WIDTH, _LEFT, _RIGHT, _ROW, _BAR = 1200, 560, 120, 56, 26
_TOP, _BOTTOM, _FONT, _LINES = 72, 84, 19, 12
# Okabe and Ito; a missed target is also told by its mark.
_MET, _MISSED, _INFORMS, _TARGET = "#009e73", "#d55e00", "#767676", "#000000"
_ABOUT = ("model", "device", "cpu", "threads")
_INK, _PAPER, _GRID = "#222222", "#ffffff", "#dddddd"


def draw(report: Report, path: Path) -> bool:
    """Draw what is to be as large as can be, as bars with a mark at the target, into a PNG.

    Parameters
    ----------
    report : Report
        Ratios on one scale; shares in percent, of another, are left out.
    path : pathlib.Path

    Returns
    -------
    bool
        Whether there is anything to draw.
    """
    figures = [f for f in report.figures if f.at_least and not f.unit]
    if not figures:
        return False
    from PIL import Image, ImageDraw, ImageFont

    height = _TOP + _ROW * len(figures) + _BOTTOM
    picture = Image.new("RGB", (_WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    fonts = [ImageFont.load_default(size=size) for size in (_FONT, _FONT + 5)]
    title = f"{report.name}: how many times as fast"
    pen.text((_LEFT, 22), title, _INK, fonts[1], anchor="lt")
    scale = _scale(figures)
    for value in range(0, round(scale) + 1, 1 + round(scale) // _LINES):
        x = _LEFT + _across(value, scale)
        pen.line([(x, _TOP), (x, height - _BOTTOM)], _GRID, 2 if value == 1 else 1)
        pen.text((x, height - _BOTTOM + 6), f"{value} x", _INK, fonts[0], anchor="mt")
    for i, figure in enumerate(figures):
        _bar(pen, fonts[0], figure, _TOP + (i + 0.5) * _ROW, scale)
    about = "; ".join(f"{key}: {report.setting[key]}" for key in _ABOUT if key in report.setting)
    pen.text((20, height - 20), about, _INK, fonts[0], anchor="lb")
    picture.save(path)
    return True


def _bar(pen: Any, font: Any, figure: Figure, y: float, scale: float) -> None:
    colour = {True: _MET, False: _MISSED, None: _INFORMS}[figure.met]
    end = _LEFT + _across(float(figure.value), scale)
    pen.rectangle([(_LEFT, y - _BAR / 2), (end, y + _BAR / 2)], colour)
    pen.text((_LEFT - 12, y), figure.name, _INK, font, anchor="rm")
    words = f"{float(figure.value):.2f} x"
    at = end
    if figure.target is not None:
        x = _LEFT + _across(float(figure.target), scale)
        pen.line([(x, y - _BAR * 0.8), (x, y + _BAR * 0.8)], _TARGET, 4)
        words += "" if figure.met else " missed"
        at = max(end, x)
    pen.text((at + 10, y), words, _INK, font, anchor="lm")


def _scale(figures: Sequence[Figure]) -> float:
    """The ratio at the right end: a whole one."""
    largest = max(max(float(f.value), float(f.target or 0)) for f in figures)
    return float(max(2, int(largest) + 1))


def _across(value: float, scale: float) -> float:
    return value / scale * (_WIDTH - _LEFT - _RIGHT)
