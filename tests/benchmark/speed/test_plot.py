from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_hqsam.benchmark.figures import Figure, Report
from napari_hqsam.benchmark.speed import plot
from napari_hqsam.benchmark.speed.windows import objects, picture, windows
from napari_hqsam.modeling import HQSam


def widths(path: Path, colour: str) -> list[int]:
    """The widths of bars of a colour, from the top down."""
    with Image.open(path) as plot:
        pixels = np.asarray(plot.convert("RGB"))
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    rows = (pixels == wanted).all(axis=2).sum(axis=1)
    starts = np.flatnonzero((rows[1:] > 40) & (rows[:-1] <= 40)) + 1
    return [int(rows[start]) for start in starts]


def test_bars_are_as_long_as_the_ratios(tmp_path: Path) -> None:
    report = Report("click", {"model": "some", "threads": 2})
    report.figures = [
        Figure("met", 4.0, "", 2.0, at_least=True),
        Figure("missed", 1.0, "", 2.5, at_least=True),
        Figure("informs", 2.0, at_least=True),
        Figure("a share", 98.0, "%", 90, at_least=True),
        Figure("a time", 500.0, "ms", 80),
    ]
    path = tmp_path / "plot.png"
    assert plot.draw(report, path)
    (met,), (missed,), (informs,) = (
        widths(path, colour) for colour in (plot._MET, plot._MISSED, plot._INFORMS)
    )
    assert abs(met / missed - 4) < 0.2
    assert abs(informs / missed - 2) < 0.1


def test_a_very_large_ratio_has_room(tmp_path: Path) -> None:
    report = Report("auto", {}, [Figure("much", 431.0, at_least=True)])
    path = tmp_path / "plot.png"
    assert plot.draw(report, path)
    (width,) = widths(path, plot._INFORMS)
    assert 100 < width < plot._WIDTH - plot._LEFT - plot._RIGHT


def test_nothing_to_draw(tmp_path: Path) -> None:
    report = Report("click", {}, [Figure("a time", 500.0, "ms", 80)])
    assert not plot.draw(report, tmp_path / "plot.png")
    assert not list(tmp_path.iterdir())


def test_pictures_and_their_boxes(micro: HQSam) -> None:
    pixels = picture(128)
    assert np.array_equal(pixels, picture(128))
    assert not np.array_equal(pixels, picture(128, seed=1))
    assert windows(micro, 2).shape == (2, 3, 128, 128)
    boxes = objects(micro, 64).boxes
    assert boxes is not None
    inside = np.zeros((128, 128), bool)
    for x0, y0, x1, y1 in boxes.int().tolist():
        assert pixels[(y0 + y1) // 2, (x0 + x1) // 2, 0] > 80
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    assert (pixels[~inside, 0] < 110).all()
