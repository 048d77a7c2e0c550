"""What is done with a predicted mask: holes, specks, and what reaches out of the box."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import whole_plane
from napari_hqsam.segmentation import Mask, Prompts
from napari_hqsam.segmentation.mask import trimmed
from napari_hqsam.segmentation.polish import polish

SHAPE = (60, 80)
LOGITS = np.zeros((16, 16), np.float32)


def mask_of(full: np.ndarray, prompts: Prompts | None = None) -> Mask:
    data, bbox = trimmed(full, (0, 0))
    window = whole_plane(SHAPE, 64)
    return Mask(data, bbox, (), 0.9, window, LOGITS, LOGITS, prompts or Prompts(points=[(1, 1)]))


def ring() -> np.ndarray:
    """A ring of 20 x 20 pixels with a hole of 10 x 10, a gap nowhere, and specks around it."""
    full = np.zeros(SHAPE, bool)
    full[10:30, 20:40] = True
    full[15:25, 25:35] = False
    full[50, 70] = True  # one pixel
    full[5, 5] = full[6, 6] = full[7, 7] = True  # three that touch at their corners
    return full


def test_holes_are_filled_and_nothing_else_changes() -> None:
    expected = ring()
    expected[15:25, 25:35] = True
    filled = polish(mask_of(ring()), fill_holes=True)
    np.testing.assert_array_equal(filled.full(SHAPE), expected)
    open_ring = ring()
    open_ring[10:15, 30] = False
    same = mask_of(open_ring)
    assert polish(same, fill_holes=True) is same


@pytest.mark.parametrize(("size", "specks"), [(0, 2), (1, 2), (2, 1), (3, 1), (4, 0), (300, 0)])
def test_parts_smaller_than_the_size_are_removed(size: int, specks: int) -> None:
    found = polish(mask_of(ring()), min_size=size).full(SHAPE)
    assert found[50, 70] == (specks == 2)
    assert found[[5, 6, 7], [5, 6, 7]].all() == (specks >= 1)
    assert found[10, 20]  # 300 pixels are not smaller than 300


def test_an_object_that_is_too_small_is_removed_whole() -> None:
    gone = polish(mask_of(ring()), min_size=301)
    assert gone.area == 0
    assert gone.data.shape == (0, 0)
    assert polish(gone, min_size=5, fill_holes=True, keep_to_box=True).area == 0


def test_holes_are_filled_before_sizes_are_compared() -> None:
    assert polish(mask_of(ring()), fill_holes=True, min_size=400).area == 400


@pytest.mark.parametrize(
    "given",
    [
        {"box": (12, 18, 29, 33)},
        {"box": (11.6, 17.5, 29.4, 33.49)},
        {"polygon": [(12, 18), (12, 33), (29, 33)]},
        {"mask": np.ones((18, 16)), "mask_origin": (12, 18)},
        {"box": (12, 18, 29, 33), "points": [(50, 70)]},
    ],
    ids=lambda given: "+".join(given),
)
def test_what_is_kept_to_the_box_are_its_pixels(given: dict[str, Any]) -> None:
    kept = polish(mask_of(ring(), Prompts(**given)), keep_to_box=True).full(SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[12:30, 18:34] = ring()[12:30, 18:34]
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("box", [(-20, -30, 5, 5), (40, 40, 45, 45), (-9, -9, 99, 99)])
def test_a_box_beside_or_around_the_mask(box: tuple) -> None:
    kept = polish(mask_of(ring(), Prompts(box=box)), keep_to_box=True).full(SHAPE)
    inside = np.zeros(SHAPE, bool)
    inside[max(box[0], 0) : box[2] + 1, max(box[1], 0) : box[3] + 1] = True
    np.testing.assert_array_equal(kept, ring() & inside)


@pytest.mark.parametrize("given", [{"points": [(20, 22)]}, {"scribble": [(12, 22), (28, 22)]}])
def test_clicks_and_strokes_have_no_box_to_keep_to(given: dict[str, Any]) -> None:
    mask = mask_of(ring(), Prompts(**given))
    assert polish(mask, keep_to_box=True) is mask


def test_a_polished_mask_can_be_corrected_and_the_first_one_stays() -> None:
    mask = mask_of(ring())
    before = mask.data.copy()
    tidy = polish(mask, fill_holes=True, min_size=9)
    assert tidy.low_res_sam is mask.low_res_sam
    assert (tidy.window, tidy.prompts, tidy.score) == (mask.window, mask.prompts, mask.score)
    assert tidy.bbox == (10, 20, 30, 40)
    np.testing.assert_array_equal(mask.data, before)


def test_a_size_below_zero_is_refused() -> None:
    with pytest.raises(HQSAMError, match=r"min. size -1: give a number of pixels"):
        polish(mask_of(ring()), min_size=-1)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 12), st.booleans(), st.floats(0.2, 0.7)
)
def test_polishing_twice_is_polishing_once(
    seed: int, fill: bool, size: int, keep: bool, share: float
) -> None:
    full = np.random.default_rng(seed).random(SHAPE) < share
    mask = mask_of(full, Prompts(box=(10, 10, 40, 70)))
    options: dict[str, Any] = {"fill_holes": fill, "min_size": size, "keep_to_box": keep}
    once = polish(mask, **options)
    np.testing.assert_array_equal(polish(once, **options).full(SHAPE), once.full(SHAPE))
