"""Metrics on cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hqsam.evaluation.metrics import (
    boundary_iou,
    boundary_region,
    boundary_width,
    mask_iou,
)


def square(start: int, stop: int, size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[start:stop, start:stop] = True
    return mask


def test_iou_of_shifted_squares() -> None:
    a = square(2, 12)
    b = np.roll(a, 5, axis=1)
    assert mask_iou(a, b) == 50 / 150
    assert mask_iou(a, a) == 1
    assert mask_iou(a, ~a) == 0


def test_empty_masks_agree() -> None:
    empty = np.zeros((5, 5), dtype=bool)
    assert mask_iou(empty, empty) == 1
    assert boundary_iou(empty, empty, 2) == 1
    assert mask_iou(empty, ~empty) == 0


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_boundary_region_is_a_frame(width: int) -> None:
    frame = boundary_region(square(5, 15), width)
    assert np.count_nonzero(frame) == 100 - (10 - 2 * width) ** 2


def test_the_edge_of_the_image_is_a_boundary() -> None:
    full = np.ones((10, 10), dtype=bool)
    assert np.count_nonzero(boundary_region(full, 1)) == 36


def test_a_thin_object_is_all_boundary() -> None:
    line = np.zeros((9, 9), dtype=bool)
    line[4] = True
    assert (boundary_region(line, 2) == line).all()


def test_boundary_iou_is_harsher_than_iou() -> None:
    a, b = square(2, 18), square(3, 17)
    assert mask_iou(a, b) == 196 / 256
    # Frames of 1 pixel, one inside the other, share nothing.
    assert boundary_iou(a, b, 1) == 0
    # Of 2 pixels: 256 - 144 and 196 - 100; they share the ring from 3 to 17 without 4 to 16.
    assert boundary_iou(a, b, 2) == (196 - 144) / (112 + 96 - 52)


def test_the_papers_width() -> None:
    assert boundary_width((300, 400)) == 10
    assert boundary_width((300, 400), 0.01) == 5
    assert boundary_width((3, 4)) == 1
