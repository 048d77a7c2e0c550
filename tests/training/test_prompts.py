"""Prompts made from true masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_hqsam.modeling import PromptBatch
from napari_hqsam.training.prompts import (
    correction,
    exact_boxes,
    first_prompts,
    noisy_boxes,
    random_points,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rectangles(*boxes: tuple[int, int, int, int], size: int = 64) -> Tensor:
    """Masks (N, S, S) of (y0, x0, y1, x1), half-open."""
    masks = torch.zeros(len(boxes), size, size)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 1
    return masks


MASKS = rectangles((10, 20, 30, 25), (0, 0, 64, 64), (63, 5, 64, 40))


def test_exact_boxes_are_the_outermost_pixels_x_first() -> None:
    assert exact_boxes(MASKS).tolist() == [[20, 10, 24, 29], [0, 0, 63, 63], [5, 63, 39, 63]]


def test_noise_is_a_tenth_of_the_side_at_least_1_and_at_most_20_pixels() -> None:
    boxes = torch.tensor([[100.0, 150, 140, 350], [10, 10, 12, 12], [0, 0, 511, 511]])
    drawn = torch.stack([noisy_boxes(boxes, 512, 0.1, seeded(i)) for i in range(400)])
    most = (drawn - boxes).abs().amax(dim=0)
    limit = torch.tensor([[4.0, 20, 4, 20], [1, 1, 1, 1], [20, 20, 20, 20]])
    assert (most <= limit + 1e-4).all()
    assert (most > 0.95 * limit).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 511


def test_random_points_lie_in_their_region_and_spread_over_it() -> None:
    drawn = torch.stack([random_points(MASKS, seeded(i)) for i in range(200)])[:, :, 0]
    for i, (x0, y0, x1, y1) in enumerate(exact_boxes(MASKS).tolist()):
        least, most = drawn[:, i].amin(dim=0).tolist(), drawn[:, i].amax(dim=0).tolist()
        assert x0 <= least[0] <= most[0] <= x1
        assert y0 <= least[1] <= most[1] <= y1
        assert (*least, *most) == pytest.approx((x0, y0, x1, y1), abs=0.1 * max(x1 - x0, y1 - y0))


@pytest.mark.parametrize("kind", ["box", "point", "box+point"])
def test_first_prompts(kind: str) -> None:
    given = first_prompts(MASKS, kind, seeded())
    assert (given.boxes is not None) == ("box" in kind)
    assert (given.points is not None) == ("point" in kind)
    assert given.masks is None
    if given.points is not None:
        assert given.points.shape == (3, 1, 2)
        assert given.labels.tolist() == [[1], [1], [1]]
        x, y = given.points[0, 0].long()
        assert MASKS[0, y, x] == 1
    if given.boxes is not None:
        assert given.boxes.shape == (3, 4)


def low_res(masks: Tensor) -> Tensor:
    """Logits (N, 1, S/4, S/4) of a prediction that is `masks`."""
    return torch.nn.functional.avg_pool2d(masks[:, None], 4) * 20 - 10


def test_a_correction_is_positive_where_missed_and_negative_where_too_much() -> None:
    truth = rectangles((8, 8, 40, 40), (8, 8, 40, 40), (8, 8, 40, 40))
    predicted = rectangles((8, 8, 40, 24), (8, 8, 40, 56), (0, 0, 0, 0))
    logits = low_res(predicted).requires_grad_()
    halves = []
    for seed in range(40):
        given = correction(PromptBatch(boxes=exact_boxes(truth)), logits, truth, seeded(seed))
        assert given.labels.tolist() == [[1], [0], [1]]
        x, y = given.points[:, 0].long().T
        assert truth[torch.arange(3), y, x].tolist() == [1, 0, 1]
        halves.append((x[0] >= 23, x[1] < 57))
        assert torch.equal(given.boxes, exact_boxes(truth))
        assert torch.equal(given.masks, logits)
        assert not given.masks.requires_grad
    # but for the corners, which are rounded in a mask of stride 4, in the half that is wrong
    assert torch.tensor(halves).float().mean() > 0.9


def test_a_perfect_mask_is_confirmed() -> None:
    truth = rectangles((8, 8, 40, 40))
    given = correction(PromptBatch(boxes=exact_boxes(truth)), low_res(truth), truth, seeded())
    assert given.labels.tolist() == [[1]]
    x, y = given.points[0, 0].long()
    assert truth[0, y, x] == 1


def test_corrections_add_to_the_clicks_that_are_there() -> None:
    truth = rectangles((8, 8, 40, 40), (8, 8, 40, 40))
    given = first_prompts(truth, "point", seeded())
    for n in (2, 3):
        before = given
        given = correction(
            given, low_res(rectangles((0, 0, 64, 64), (8, 8, 20, 40))), truth, seeded(n)
        )
        assert given.points.shape == (2, n, 2)
        assert torch.equal(given.points[:, :-1], before.points)
        assert given.labels[:, -1].tolist() == [0, 1]
