from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_hqsam.labels.polygons import Polygon, fill, outlines
from napari_hqsam.labels.rows import Rows, row_runs

from .pictures import MASKS, PINCHED


def as_shapely(polygon: Polygon) -> shapely.Polygon:
    outer, *holes = (ring[:, ::-1] for ring in polygon)
    return shapely.Polygon(outer, holes)


def of_pixels(mask: np.ndarray) -> shapely.Geometry:
    y, x = np.nonzero(mask)
    return shapely.union_all(shapely.box(x, y, x + 1, y + 1))


@settings(deadline=None)
@given(MASKS)
@example(PINCHED)
@example(~PINCHED)
def test_outlines_are_those_of_the_pixels(mask: np.ndarray) -> None:
    polygons = outlines(Rows(*row_runs(mask)))
    shapes = [as_shapely(polygon) for polygon in polygons]
    assert len(shapes) == ndimage.label(mask)[1]
    whole = shapely.MultiPolygon(shapes)
    assert whole.is_valid, shapely.is_valid_reason(whole)
    assert whole.equals(of_pixels(mask))
    for polygon, shape in zip(polygons, shapes, strict=True):
        assert shape.exterior.is_ccw
        assert not any(hole.is_ccw for hole in shape.interiors)
        for ring in polygon:
            edges = np.diff(np.vstack([ring, ring[:1]]), axis=0)
            assert (np.count_nonzero(edges, axis=1) == 1).all()
            # each corner turns
            assert ((edges[1:] != 0) != (edges[:-1] != 0)).all()


@settings(deadline=None)
@given(MASKS)
@example(PINCHED)
@example(~PINCHED)
def test_outlines_filled_are_the_mask(mask: np.ndarray) -> None:
    filled = np.zeros(mask.shape, int)
    for polygon in outlines(Rows(*row_runs(mask))):
        filled += fill(polygon, mask.shape).dense((0, 0, *mask.shape))
    np.testing.assert_array_equal(filled, mask)


VERTEX = st.tuples(*[st.floats(-4, 14, width=32)] * 2)


@settings(deadline=None)
@given(st.lists(VERTEX, min_size=3, max_size=8))
def test_any_polygon_is_filled_where_pixel_centres_are_inside(ring: list[tuple]) -> None:
    found = fill([np.array(ring)], (9, 11)).dense((0, 0, 9, 11))
    y, x = np.mgrid[:9, :11] + 0.5
    # where it crosses itself, inside is what a ray leaves after an odd number of crossings
    inside = np.zeros((9, 11), bool)
    unsure = np.zeros((9, 11), bool)
    for (ya, xa), (yb, xb) in zip(ring, [*ring[1:], ring[0]], strict=True):
        passes = (ya <= y) != (yb <= y)
        with np.errstate(all="ignore"):
            crossing = xa + (y - ya) * (xb - xa) / (yb - ya)
        inside ^= passes & (crossing <= x)
        unsure |= passes & (abs(crossing - x) < 1e-9)
    np.testing.assert_array_equal(found[~unsure], inside[~unsure])


def test_polygons_with_an_edge_in_common_share_no_pixel() -> None:
    # the edge runs through pixel centres
    left = np.array([[0, 0], [8, 0], [8, 4.5], [0, 4.5]])
    right = np.array([[0, 4.5], [8, 4.5], [8, 9], [0, 9]])
    a, b = (fill([ring], (8, 9)).dense((0, 0, 8, 9)) for ring in (left, right))
    assert not (a & b).any()
    assert (a | b).all()


def test_what_lies_far_outside_costs_nothing() -> None:
    far = np.array([[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]])
    assert fill([far], (5, 6)).area == 30
    assert fill([far / 1e290 + 1e12], (5, 6)).area == 0


def test_a_hole_belongs_to_the_part_around_it() -> None:
    mask = np.zeros((12, 12), bool)
    mask[:11, :11] = True
    mask[1:10, 1:10] = False
    mask[3:8, 3:8] = True
    mask[4:7, 4:7] = False
    mask[5, 5] = True
    parts = outlines(Rows(*row_runs(mask)))
    assert sorted((len(p), as_shapely(p).area) for p in parts) == [(1, 1), (2, 16), (2, 40)]


@pytest.mark.parametrize("side", [70_000])
def test_a_wide_mask_is_never_unpacked(side: int) -> None:
    """A ring of 70,000² pixels, 4.9 GB if it were unpacked."""
    y = np.arange(side)
    rows = Rows.of(
        np.r_[0, y, y, side - 1],
        np.r_[0, 0 * y, 0 * y + side - 1, 0],
        np.r_[side, 0 * y + 1, 0 * y + side, side],
    )
    (polygon,) = outlines(rows)
    assert [len(ring) for ring in polygon] == [4, 4]
    assert as_shapely(polygon).area == rows.area == 4 * side - 4
    assert fill(polygon, (side, side)).area == rows.area
