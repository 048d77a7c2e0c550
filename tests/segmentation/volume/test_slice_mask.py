"""Masks on slices: packed, compared, taken apart, averaged, smoothed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hqsam.segmentation.volume.blend import blended
from napari_hqsam.segmentation.volume.claims import Claims
from napari_hqsam.segmentation.volume.slice_mask import SliceMask
from napari_hqsam.segmentation.volume.smoother import Smoother

from .stacks import disc


def mask_of(
    pixels: np.ndarray, label: int = 1, position: int = 3, score: float | None = 0.8
) -> SliceMask:
    return SliceMask.of(label, position, pixels, (0, 0, *pixels.shape), score)


@st.composite
def masks(draw: st.DrawFn) -> SliceMask:
    seed = draw(st.integers(0, 999))
    pixels = np.random.default_rng(seed).random((7, 9)) < 0.3
    pixels[3, 4] = True
    return mask_of(pixels, draw(st.integers(1, 2**40)), draw(st.integers(0, 99)))


@given(masks())
def test_packing_loses_nothing(mask: SliceMask) -> None:
    again = SliceMask.unpacked(mask.packed())
    assert (again.label, again.position, again.bbox) == (mask.label, mask.position, mask.bbox)
    assert again.score == mask.score
    np.testing.assert_array_equal(again.data, mask.data)
    assert SliceMask.unpacked(mask.scored(None).packed()).score is None


@given(masks(), masks())
def test_what_is_left_and_what_is_taken_make_the_whole(a: SliceMask, b: SliceMask) -> None:
    box = (0, 0, 7, 9)
    left = a.without([b])
    np.testing.assert_array_equal(left.on(box), a.on(box) & ~b.on(box))
    both = np.count_nonzero(a.on(box) & b.on(box))
    assert a.iou(b) == pytest.approx(both / np.count_nonzero(a.on(box) | b.on(box)))
    assert left.area == a.area - both


def test_centroid_and_area() -> None:
    mask = mask_of(disc(20, 31, 6, (50, 60)))
    assert mask.centroid == pytest.approx((20, 31))
    assert mask.area == np.count_nonzero(disc(20, 31, 6, (50, 60)))


def test_the_first_to_claim_keeps() -> None:
    shape = (40, 60)
    first, second = disc(20, 20, 8, shape), disc(20, 30, 8, shape)
    claims = Claims([mask_of(first, 1)])
    (left,) = claims.claim([mask_of(second, 2)])
    np.testing.assert_array_equal(left.on((0, 0, *shape)), second & ~first)
    assert claims.claim([mask_of(first, 3)]) == []
    (elsewhere,) = claims.claim([mask_of(first, 3, position=4)])
    assert elsewhere.area == np.count_nonzero(first)
    assert claims.ends() == {1: (3, 3), 2: (3, 3), 3: (4, 4)}


def test_between_two_discs_lies_a_disc_between() -> None:
    shape = (60, 60)
    small, large = mask_of(disc(30, 30, 6, shape)), mask_of(disc(30, 30, 18, shape))
    middle = blended([(small, 0.5), (large, 0.5)], 4, 0.7)
    assert middle is not None
    assert np.sqrt(middle.area / np.pi) == pytest.approx(12, abs=0.7)
    assert (middle.position, middle.score) == (4, 0.7)
    near = blended([(small, 0.9), (large, 0.1)], 4, 0.7)
    assert near is not None
    assert small.area < near.area < middle.area


def test_nothing_between_masks_far_apart() -> None:
    shape = (60, 60)
    far = [(mask_of(disc(8, 8, 5, shape)), 0.5), (mask_of(disc(50, 50, 5, shape)), 0.5)]
    assert blended(far, 4, 0.5) is None
    assert blended([(far[0][0], 0.0)], 4, 0.5) is None


@pytest.mark.parametrize("sigma", [0, 0.5, 1, 2])
def test_smoothing_tells_each_mask_once_and_in_order(sigma: float) -> None:
    smoother = Smoother(sigma)
    told = smoother.push(mask_of(disc(30, 30, 10, (60, 60)), position=0, score=None))
    for z in range(1, 12):
        told += smoother.push(mask_of(disc(30, 30, 10 + 4 * (z % 2), (60, 60)), position=z))
    for z in range(20, 23):  # elsewhere along the course
        told += smoother.push(mask_of(disc(30, 30, 20, (60, 60)), position=z))
    told += smoother.flush()
    assert [mask.position for mask in told] == [*range(1, 12), 20, 21, 22]
    areas = [mask.area for mask in told]
    assert areas[-3:] == [np.count_nonzero(disc(30, 30, 20, (60, 60)))] * 3
    rough = np.abs(
        np.diff([np.count_nonzero(disc(30, 30, 10 + 4 * (z % 2), (60, 60))) for z in (1, 2)])
    )
    if sigma >= 1:
        assert np.abs(np.diff(areas[2:9])).max() < 0.5 * rough
