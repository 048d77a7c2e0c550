"""A mask that just misses its box is brought to fill it; one that is far off is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.fit import fitting_threshold

from .fakes import LookingGlass


def hill(steepness: float, size: int = 60) -> torch.Tensor:
    """Logits that fall off from the middle, 0 at 15 pixels from it."""
    y, x = np.mgrid[:size, :size] - 29.0
    return torch.from_numpy(steepness * (15 - np.maximum(abs(y), abs(x)))).float()


def ends(logits: torch.Tensor) -> list[int]:
    rows, columns = (np.flatnonzero((logits > 0).any(dim=d).numpy()) for d in (1, 0))
    return [rows[0], columns[0], rows[-1], columns[-1]]


@pytest.mark.parametrize("grown", [-2, 0, 1, 3])
def test_a_slow_edge_is_moved_to_the_box(grown: int) -> None:
    logits = hill(0.4)
    box = np.array([15 - grown, 15 - grown, 43 + grown, 43 + grown], dtype=float)
    threshold = fitting_threshold(logits, box)
    assert ends(logits - threshold) == box.tolist()
    assert abs(threshold) <= 1.5
    assert (threshold == 0) == (grown == 0)


def test_half_a_pixel_is_no_reason() -> None:
    assert fitting_threshold(hill(0.4), np.array([14.6, 15.4, 43.5, 42.6])) == 0


@pytest.mark.parametrize("by", [5, -5])
def test_a_box_that_is_far_off_is_not_followed(by: int) -> None:
    assert fitting_threshold(hill(0.4), np.array([15.0 - by, 15 - by, 43 + by, 43 + by])) == 0


def test_all_four_sides_must_agree() -> None:
    assert fitting_threshold(hill(0.4), np.array([13.0, 13, 45, 49])) == 0


def test_a_steep_edge_stays() -> None:
    assert fitting_threshold(hill(10), np.array([13.0, 13, 45, 45])) == 0


def test_nothing_is_no_mask() -> None:
    assert fitting_threshold(torch.full((9, 9), -5.0), np.array([1.0, 1, 5, 5])) == 0


def blurred_square() -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    square = np.zeros((100, 120))
    square[30:70, 40:90] = 255
    return gaussian_filter(square, 5).astype(np.uint8)


@pytest.mark.parametrize("origin", [0, 300])
def test_the_segmenter_fits_masks_where_the_model_trusts_boxes(origin: int) -> None:
    image = np.pad(blurred_square(), ((origin, 60), (origin, 60)))
    model = LookingGlass(256)
    seg = Segmenter(image, model=model, contrast_limits=(0, 255))  # type: ignore[arg-type]
    exact = seg.predict(box=(origin + 30, origin + 40, origin + 69, origin + 89)).bbox
    box = (exact[0] - 1, exact[1] - 1, exact[2], exact[3])  # one pixel more on each side
    assert seg.predict(box=box).bbox == exact
    model.trusts_boxes = True
    assert seg.predict(box=box).bbox == (box[0], box[1], box[2] + 1, box[3] + 1)
    # a click says nothing of the sort
    click = seg.predict(points=[(origin + 50, origin + 60)], fine=False)
    model.trusts_boxes = False
    assert click.bbox == seg.predict(points=[(origin + 50, origin + 60)], fine=False).bbox
