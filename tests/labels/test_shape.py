from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from skimage.measure import perimeter_crofton, regionprops

from napari_hqsam.labels import shape as module
from napari_hqsam.labels.rows import Rows, row_runs
from napari_hqsam.labels.shape import (
    centroid,
    eccentricity,
    feret_and_hull,
    perimeter,
    shape_2d,
)

from .pictures import MASKS


def rows_of(mask: np.ndarray) -> Rows:
    return Rows(*row_runs(mask))


def ellipse(a: float, b: float, dy: float, dx: float) -> Rows:
    """Half axes along y and x in µm, on pixels of dy by dx µm."""
    h, w = math.ceil(a / dy) + 2, math.ceil(b / dx) + 2
    y, x = np.mgrid[-h : h + 1, -w : w + 1]
    return rows_of((y * dy / a) ** 2 + (x * dx / b) ** 2 <= 1)


@settings(deadline=None)
@given(MASKS.filter(np.any))
def test_scikit_image_measures_the_same(mask: np.ndarray) -> None:
    rows = rows_of(mask)
    assert perimeter(rows, (1, 1)) == pytest.approx(perimeter_crofton(mask, directions=4))
    for steps in ((1.0, 1.0), (0.5, 0.2)):
        (region,) = regionprops(mask.astype(np.uint8), spacing=steps)
        assert eccentricity(rows, steps) == pytest.approx(region.eccentricity, abs=1e-6)
        _, y, x = centroid([(0, rows)])
        assert (y * steps[0], x * steps[1]) == pytest.approx(region.centroid)


@pytest.mark.parametrize("steps", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.25), (0.1, 0.3)])
def test_discs_on_pixels_of_any_form(steps: tuple[float, float]) -> None:
    rows = ellipse(20, 20, *steps)
    found = shape_2d(rows, steps)
    assert found.perimeter == pytest.approx(2 * math.pi * 20, rel=0.03)
    assert found.circularity == pytest.approx(1, abs=0.05)
    assert found.eccentricity < 0.15
    feret, hull = feret_and_hull([(0, rows)], steps)
    assert feret == pytest.approx(40, abs=2 * max(steps))
    assert rows.area * steps[0] * steps[1] / hull == pytest.approx(1, abs=0.07)


@pytest.mark.parametrize("steps", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.25)])
def test_ellipses_on_pixels_of_any_form(steps: tuple[float, float]) -> None:
    found = shape_2d(ellipse(30, 15, *steps), steps)
    assert found.eccentricity == pytest.approx(math.sqrt(1 - 0.25), abs=0.01)
    h = (15 / 45) ** 2  # Ramanujan
    around = math.pi * 45 * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    assert found.perimeter == pytest.approx(around, rel=0.03)


@pytest.mark.parametrize("steps", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.25), (0.1, 0.3), (2.0, 0.7)])
def test_perimeter_of_a_box_on_pixels_of_any_form(steps: tuple[float, float]) -> None:
    dy, dx = steps
    h, w = round(60 / dy), round(40 / dx)
    assert perimeter(rows_of(np.ones((h, w), bool)), steps) == pytest.approx(200, rel=0.07)


def test_a_wide_mask_is_measured_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ellipse(20, 30, 1, 1)
    whole = perimeter(rows, (1, 2))
    monkeypatch.setattr(module, "_STRIP", 200)
    assert perimeter(rows, (1, 2)) == whole


def test_feret_and_hull_are_those_of_pixel_corners() -> None:
    pixel = rows_of(np.ones((1, 1), bool))
    assert feret_and_hull([(0, pixel)], (1, 1)) == pytest.approx((math.sqrt(2), 1))
    assert feret_and_hull([(0, pixel)], (3, 4)) == pytest.approx((5, 12))
    corner = np.eye(4, dtype=bool)
    assert feret_and_hull([(0, rows_of(corner))], (1, 1)) == pytest.approx((math.sqrt(32), 7))
    box = rows_of(np.ones((3, 4), bool))
    feret, hull = feret_and_hull([(z, box) for z in (5, 6)], (6, 1, 1))
    assert (feret, hull) == pytest.approx((13, 3 * 4 * 12))
    # two planes apart, with nothing between them
    feret, hull = feret_and_hull([(0, pixel), (9, pixel)], (1, 1, 1))
    assert (feret, hull) == pytest.approx((math.sqrt(102), 10))


def test_circularity_is_at_most_one() -> None:
    assert shape_2d(rows_of(np.ones((1, 1), bool)), (1, 1)).circularity == 1
    assert shape_2d(rows_of(np.ones((1, 30), bool)), (1, 1)).circularity < 0.2
