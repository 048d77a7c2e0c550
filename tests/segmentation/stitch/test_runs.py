"""What is computed on runs is what is seen on pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_hqsam.segmentation.stitch import Instances
from napari_hqsam.segmentation.stitch.overlap import overlap
from napari_hqsam.segmentation.stitch.runs import clipped, components, overlapping

SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=8)
MASKS = st.lists(hnp.arrays(bool, (6, 9)).filter(np.any), max_size=4)
BOX = (0, 0, 6, 9)


def found(masks: list[np.ndarray], box: tuple[int, int, int, int] = BOX) -> Instances:
    return Instances.of((), box, [(m, BOX) for m in masks], np.ones(len(masks)))


@settings(deadline=None)
@given(SPANS, SPANS)
def test_every_two_intervals_that_overlap_are_found_once(a, b) -> None:
    (a0, a1), (b0, b1) = (
        np.array([(at, at + n) for at, n in spans], np.int64).reshape(-1, 2).T for spans in (a, b)
    )
    i, j = overlapping(a0, a1, b0, b1)
    expected = [
        (i, j)
        for i in range(len(a))
        for j in range(len(b))
        if max(a0[i], b0[j]) < min(a1[i], b1[j])
    ]
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(MASKS)
def test_parts_of_objects_are_those_of_their_pixels(masks) -> None:
    """Pixels that touch at a corner alone are in one part."""
    which, y, x0, x1 = clipped(found(masks), BOX)
    count, part = components(which, y, x0, x1)
    expected = [ndimage.label(m, np.ones((3, 3))) for m in masks]
    assert count == sum(n for _, n in expected)
    for k, (labels, _) in enumerate(expected):
        names = [labels[y[r], x0[r]] for r in np.flatnonzero(which == k)]
        assert len(set(zip(names, part[which == k], strict=True))) == len(set(names))


@settings(deadline=None)
@given(MASKS, MASKS)
def test_shared_pixels_are_counted(masks, others) -> None:
    a, b = found(masks, (0, 0, 6, 7)), found(others, (0, 3, 6, 9))
    result = overlap(a, b)
    counted = np.zeros((len(a), len(b)), int)
    counted[result.first, result.second] = result.pixels
    dense = [[f.rows(i).dense((0, 3, 6, 7)) for i in range(len(f))] for f in (a, b)]
    expected = [[np.count_nonzero(p & q) for q in dense[1]] for p in dense[0]]
    np.testing.assert_array_equal(counted, np.reshape(expected, counted.shape))
    for name in ("first", "second"):  # one to one, but for parts that lie apart
        whole = [ndimage.label(m, np.ones((3, 3)))[1] <= 1 for m in dense[name == "second"]]
        assert all(
            np.count_nonzero(result.same & (getattr(result, name) == k)) <= 1
            for k in np.flatnonzero(whole)
        )
