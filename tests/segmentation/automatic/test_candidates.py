"""Which low-res masks are good, and which of them say the same."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_hqsam.images.windows import Window
from napari_hqsam.segmentation.automatic.candidates import (
    keep_best,
    part_at,
    shown_part,
    stability,
    uncovered,
)

from .fakes import disc

SHAPE = (20, 24)


def cut(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[int]]:
    ys, xs = np.nonzero(mask)
    y0, x0, y1, x1 = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
    return mask[y0:y1, x0:x1], [y0, x0, y1, x1]


def cut_all(masks: list[NDArray[np.bool_]]) -> tuple[list[NDArray[np.bool_]], NDArray[np.int64]]:
    pairs = [cut(mask) for mask in masks]
    return [m for m, _ in pairs], np.array([b for _, b in pairs], np.int64).reshape(-1, 4)


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_of_a_mask_the_part_that_was_clicked_on_is_the_object() -> None:
    one, other = disc(SHAPE, 6, 6, 4), disc(SHAPE, 14, 17, 3)
    logits = np.where(one | other, 5.0, -5.0).astype(np.float32)
    part = part_at(logits, (14, 16))
    assert part is not None
    expected, box = cut(other)
    np.testing.assert_array_equal(part.mask, expected)
    assert list(part.box) == box
    assert part.area == other.sum()


def test_a_click_beside_the_mask_has_no_object() -> None:
    logits = np.where(disc(SHAPE, 6, 6, 4), 5.0, -5.0).astype(np.float32)
    assert part_at(logits, (15, 15)) is None


def test_a_part_that_melts_into_its_neighbour_is_not_stable() -> None:
    one, other = disc(SHAPE, 10, 6, 4), disc(SHAPE, 10, 17, 4)
    apart = np.where(one | other, 5.0, -5.0).astype(np.float32)
    bridged = apart.copy()
    bridged[10, 10:14] = -0.5
    sure, unsure = part_at(apart, (10, 6)), part_at(bridged, (10, 6))
    assert sure is not None
    assert unsure is not None
    assert sure.stability == 1
    assert unsure.stability < 0.55


def test_stability_is_the_iou_of_two_thresholds() -> None:
    logits = torch.full((4, 4), -5.0)
    logits[0] = 2.0  # 4 pixels in both
    logits[1] = -0.5  # 4 in the wider one
    assert stability(logits) == 0.5
    assert stability(torch.full((4, 4), -5.0)) == 0


def test_padding_is_no_part_of_what_a_window_shows() -> None:
    assert shown_part(Window((), 0, (0, 0), 64, (33, 64), 64)) == (9, 16)


circles = st.lists(
    st.tuples(st.integers(3, 16), st.integers(3, 20), st.integers(1, 5)), min_size=0, max_size=9
)


@given(circles, st.floats(0.1, 0.9), st.randoms())
def test_suppression_is_that_of_the_plain_definition(
    where: list[tuple[int, int, int]], most: float, random: object
) -> None:
    masks = [disc(SHAPE, *one) for one in where]
    scores = np.array([random.randint(0, 4) for _ in masks], np.float32)  # type: ignore[attr-defined]
    expected: list[int] = []
    for i in sorted(range(len(masks)), key=lambda i: -scores[i]):
        if all(iou(masks[i], masks[j]) <= most for j in expected):
            expected.append(i)
    parts, boxes = cut_all(masks)
    assert keep_best(parts, boxes, scores, most).tolist() == expected


@given(circles, st.sampled_from([0.25, 0.5, 0.75]))
def test_what_better_ones_hide_is_left_out(where: list[tuple[int, int, int]], share: float) -> None:
    masks = [disc(SHAPE, *one) for one in where]
    taken, expected = np.zeros(SHAPE, bool), []
    for i, mask in enumerate(masks):
        if (mask & ~taken).sum() >= share * mask.sum():
            expected.append(i)
            taken |= mask
    parts, boxes = cut_all(masks)
    assert uncovered(parts, boxes, np.arange(len(masks)), share).tolist() == expected
