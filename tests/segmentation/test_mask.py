"""Masks: from low-res logits to pixels of the image, and into labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window, whole_plane
from napari_hqsam.segmentation import Mask
from napari_hqsam.segmentation.mask import OUTSIDE, mask_from_logits, move_logits, seen, upscale


def mask_of(logits: np.ndarray, origin: tuple[int, int] = (0, 0)) -> Mask:
    h, w = logits.shape
    window = Window((2,), 0, origin, 64, (h, w), 64)
    low = torch.zeros(16, 16)
    return mask_from_logits(torch.from_numpy(logits), window.origin, window, 0.75, low, low)


def drawn(y0: int, x0: int, y1: int, x1: int, shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    logits = np.full(shape, -1.0, np.float32)
    logits[y0:y1, x0:x1] = 1
    return logits


def test_a_mask_is_cut_to_its_box_and_placed_in_the_plane() -> None:
    mask = mask_of(drawn(5, 7, 9, 20), origin=(100, 200))
    assert mask.bbox == (105, 207, 109, 220)
    assert mask.data.shape == (4, 13)
    assert mask.data.all()
    assert mask.data.dtype == bool
    assert (mask.area, mask.plane, mask.score) == (52, (2,), 0.75)


def test_the_part_of_a_mask_within_another() -> None:
    one = mask_of(drawn(5, 7, 25, 30), origin=(100, 200))
    other = mask_of(drawn(0, 0, 20, 10), origin=(110, 220))
    both = one.within(other)
    expected = one.full((200, 300)) & other.full((200, 300))
    np.testing.assert_array_equal(both.full((200, 300)), expected)
    assert both.bbox == (110, 220, 125, 230)
    assert both.score == one.score
    assert one.within(mask_of(drawn(0, 0, 5, 5))).area == 0


def test_a_hole_and_a_second_part_are_kept() -> None:
    logits = drawn(5, 7, 9, 20)
    logits[6, 8] = -1
    logits[30, 40] = 1
    mask = mask_of(logits)
    assert mask.bbox == (5, 7, 31, 41)
    np.testing.assert_array_equal(mask.full((64, 64)), logits > 0)


def test_zero_is_outside() -> None:
    assert mask_of(np.zeros((64, 64), np.float32)).area == 0


def test_an_empty_mask_can_be_used_as_any_other() -> None:
    mask = mask_of(np.full((64, 64), -1, np.float32), origin=(10, 20))
    assert mask.bbox == (10, 20, 10, 20)
    assert mask.area == 0
    assert not mask.full((100, 100)).any()
    labels = np.zeros((100, 100), int)
    assert mask.draw(labels, 3) == 0
    assert not labels.any()


def test_drawing_leaves_other_objects_alone_unless_told() -> None:
    labels = np.zeros((80, 80), np.uint16)
    labels[:8] = 9
    mask = mask_of(drawn(5, 7, 9, 20))
    kept = labels.copy()
    assert mask.draw(kept, 4) == 13
    assert (kept[:8] == 9).all()
    assert (kept[8, 7:20] == 4).all()
    assert np.count_nonzero(kept == 4) == 13
    assert mask.draw(labels, 4, only_background=False) == 52
    assert np.count_nonzero(labels == 4) == 52


def test_masks_are_compared_by_identity() -> None:
    one, two = mask_of(drawn(1, 1, 2, 2)), mask_of(drawn(1, 1, 2, 2))
    assert one != two
    assert [two, one].index(one) == 1


def test_of_sam_alone_there_are_no_hq_logits() -> None:
    window = whole_plane((64, 64), 64)
    low = torch.full((16, 16), 2.0, dtype=torch.bfloat16)
    mask = mask_from_logits(torch.ones(64, 64), window.origin, window, 0.5, low, None)
    assert mask.low_res_hq is None
    assert mask.low_res_sam.dtype == np.float32
    assert mask.low_res_sam[0, 0] == 2


# Upscaling


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300))
def test_upscaled_logits_lie_where_to_model_says(height: int, width: int) -> None:
    """Low-res logits that are a coordinate come back as that coordinate of each pixel."""
    window = whole_plane((height, width), 64)
    ramp = (torch.arange(16) * 4 + 1.5).expand(16, 16)  # model x of the centre of each logit
    x, y = (upscale(r[None, None], window)[0].numpy() for r in (ramp, ramp.T))
    assert x.shape == y.shape == (height, width)
    pixels = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2)
    expected = window.to_model(pixels)
    # within 2 model pixels of the edge, bilinear interpolation has nothing to go by; and where the
    # image is shrunk, a model pixel at the cut edge stands for those that it was made from
    edge = max(2.0, 0.5 / window.scale)
    inner = (expected >= edge) & (expected <= np.array(window.model_shape[::-1]) - 1 - edge)
    inner &= expected <= 64 - 1 - edge
    np.testing.assert_allclose(x.ravel()[inner[:, 0]], expected[inner[:, 0], 0], atol=2e-3)
    np.testing.assert_allclose(y.ravel()[inner[:, 1]], expected[inner[:, 1], 1], atol=2e-3)


def test_padding_does_not_reach_into_the_mask() -> None:
    window = Window((), 0, (0, 0), 64, (40, 20), 64)
    logits = torch.full((1, 1, 16, 16), -9.0)
    logits[:, :, :10, :5] = 9  # what is inside the plane
    full = upscale(logits, window)[0]
    assert full.shape == (40, 20)
    assert (full[:38, :18] > 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_the_smallest_planes(shape: tuple[int, int]) -> None:
    full = upscale(torch.ones(3, 1, 16, 16), whole_plane(shape, 64))
    assert full.shape == (3, *shape)
    assert (full == 1).all()


def test_logits_moved_to_another_window_stay_on_their_pixels() -> None:
    source = Window((), 0, (0, 0), 256, (256, 256), 256)
    target = Window((), 0, (32, 64), 128, (128, 128), 256)
    logits = torch.full((64, 64), -5.0)
    logits[20:30, 24:34] = 5.0  # pixels 80 to 119 and 96 to 135
    moved = move_logits(logits, source, target)
    assert moved.shape == (64, 64)
    full = upscale(moved[None, None], target)[0] > 0
    ys, xs = torch.where(full)
    assert abs(int(ys.min()) + 32 - 80) <= 2
    assert abs(int(ys.max()) + 32 - 119) <= 2
    assert abs(int(xs.min()) + 64 - 96) <= 2
    assert abs(int(xs.max()) + 64 - 135) <= 2


def test_logits_of_a_window_elsewhere_say_nothing_is_there() -> None:
    source = Window((), 0, (0, 0), 128, (128, 128), 256)
    target = Window((), 0, (300, 300), 128, (128, 128), 256)
    moved = move_logits(torch.full((64, 64), 5.0), source, target)
    torch.testing.assert_close(moved, torch.full((64, 64), OUTSIDE))


@pytest.mark.parametrize("shape", [(64, 64), (300, 200), (40, 61), (1, 90)])
def test_upscaling_is_sams(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    window = whole_plane(shape, 64)
    logits = torch.randn(2, 1, 16, 16)
    mh, mw = window.model_shape
    model = F.interpolate(logits, (64, 64), mode="bilinear")[:, :, :mh, :mw]
    expected = F.interpolate(model, shape, mode="bilinear")[:, 0]
    torch.testing.assert_close(upscale(logits, window), expected)


def test_a_part_is_upscaled_as_in_the_whole() -> None:
    torch.manual_seed(0)
    window = Window((), 0, (30, 40), 200, (200, 180), 64)
    logits = torch.randn(1, 1, 16, 16)
    whole = upscale(logits, window)
    part = upscale(logits, window, (31, 7, 120, 133))
    torch.testing.assert_close(part, whole[:, 31:120, 7:133])


def test_what_is_seen_holds_every_pixel_above() -> None:
    torch.manual_seed(0)
    window = Window((), 0, (30, 40), 500, (500, 380), 64)
    logits = torch.full((3, 1, 16, 16), -9.0)
    logits[1, 0, 5, 6], logits[2, 0, 8, 4] = 12, 3
    y0, x0, y1, x1 = seen(logits, window, -2.0)
    above = (upscale(logits, window) > -2).any(dim=0)
    assert above[y0:y1, x0:x1].sum() == above.sum() > 0
    assert (y1 - y0) * (x1 - x0) < 0.3 * 500 * 380
    assert seen(torch.full((1, 1, 16, 16), -9.0), window, -2.0) == (0, 0, 0, 0)


def test_a_mask_larger_than_memory_is_refused() -> None:
    window = whole_plane((10**6, 10**6), 64)
    with pytest.raises(HQSAMError, match=r"too large for one mask: work on a coarser level"):
        seen(torch.ones(1, 1, 16, 16), window, 0.0)
