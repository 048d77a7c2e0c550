"""Prompts made from true masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_hqsam.modeling import PromptBatch
from napari_hqsam.segmentation.prompts import STROKE_POINTS
from napari_hqsam.training.prompts import (
    correction,
    drawn_boxes,
    exact_boxes,
    first_prompts,
    random_points,
    rough_logits,
    strokes,
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


def test_most_boxes_are_exact_and_the_others_off_by_a_share_of_their_side() -> None:
    masks = rectangles((20, 4, 60, 44), size=80).expand(600, -1, -1)
    exact = exact_boxes(masks)
    off = (drawn_boxes(masks, seeded()) - exact).abs().amax(dim=1) / 39
    assert 0.62 < (off == 0).float().mean() < 0.78
    assert 0.12 < ((off > 0) & (off <= 0.05)).float().mean() < 0.35
    assert 0.04 < (off > 0.05).float().mean() < 0.2
    assert off.max() <= 0.25 + 1e-5


def test_drawn_boxes_stay_inside_and_are_never_inside_out() -> None:
    for seed in range(200):
        boxes = drawn_boxes(MASKS, seeded(seed))
        assert boxes.min() >= 0
        assert boxes.max() <= 63
        assert (boxes[:, :2] <= boxes[:, 2:]).all()


def test_random_points_lie_in_their_region_and_spread_over_it() -> None:
    drawn = torch.stack([random_points(MASKS, seeded(i)) for i in range(200)])[:, :, 0]
    for i, (x0, y0, x1, y1) in enumerate(exact_boxes(MASKS).tolist()):
        least, most = drawn[:, i].amin(dim=0).tolist(), drawn[:, i].amax(dim=0).tolist()
        assert x0 <= least[0] <= most[0] <= x1
        assert y0 <= least[1] <= most[1] <= y1
        assert (*least, *most) == pytest.approx((x0, y0, x1, y1), abs=0.1 * max(x1 - x0, y1 - y0))


@pytest.mark.parametrize("count", [1, 2])
def test_strokes_lie_on_their_objects_and_are_long(count: int) -> None:
    masks = rectangles((10, 4, 22, 124), (4, 60, 124, 68), (60, 60, 64, 64), size=128)
    lengths = []
    for seed in range(20):
        points = strokes(masks, count, seeded(seed))
        assert points.shape == (3, count * STROKE_POINTS, 2)
        for mask, path in zip(masks, points, strict=True):
            x, y = path.round().long().T
            near = torch.nn.functional.max_pool2d(mask[None], 5, 1, 2)[0]  # drawn at stride 4
            assert near[y, x].all()
        lengths.append((points[:2, 0] - points[:2, STROKE_POINTS - 1]).norm(dim=1))
    assert torch.stack(lengths).mean() > 50


def test_a_stroke_goes_around_what_is_not_the_object() -> None:
    ring = rectangles((10, 10, 118, 118), size=128) - rectangles((26, 26, 102, 102), size=128)
    for seed in range(10):
        x, y = strokes(ring, 1, seeded(seed))[0].round().long().T
        assert ring[0, y, x].float().mean() > 0.8


def test_rough_logits_show_the_object_but_not_its_boundary() -> None:
    masks = rectangles((40, 30, 200, 170), (10, 10, 250, 120), size=256)
    truth = torch.nn.functional.avg_pool2d(masks[:, None], 4) > 0.5
    ious = []
    for seed in range(40):
        logits = rough_logits(masks, seeded(seed))
        assert logits.shape == (2, 1, 64, 64)
        found = logits > 0
        ious.append((found & truth).sum((1, 2, 3)) / (found | truth).sum((1, 2, 3)))
    iou = torch.stack(ious)
    assert 0.6 < iou.mean() < 0.95
    assert (iou == 1).float().mean() < 0.1
    assert iou.std() > 0.03


@pytest.mark.parametrize("kind", ["box", "point", "box+point", "strokes", "mask"])
def test_first_prompts(kind: str) -> None:
    given = first_prompts(MASKS, kind, seeded())
    if kind != "mask":
        assert (given.boxes is not None) == ("box" in kind)
    assert (given.points is not None) == (kind in ("point", "box+point", "strokes"))
    assert (given.masks is not None) == (kind == "mask")
    if kind == "strokes":
        assert given.points.shape[1] in (STROKE_POINTS, 2 * STROKE_POINTS)
        assert (given.labels == 1).all()
    elif given.points is not None:
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
    halves, labels = [], []
    for seed in range(40):
        given = correction(PromptBatch(boxes=exact_boxes(truth)), logits, truth, seeded(seed))
        x, y = given.points[:, 0].long().T
        assert truth[torch.arange(3), y, x].tolist() == given.labels[:, 0].tolist()
        labels.append(given.labels[:, 0])
        halves.append((x[0] >= 23, x[1] < 57))
        assert torch.equal(given.boxes, exact_boxes(truth))
        assert torch.equal(given.masks, logits)
        assert not given.masks.requires_grad
    often = torch.stack(labels).mean(dim=0)
    assert often[0] > 0.8
    assert often[1] < 0.2
    assert often[2] == 1
    # but for the corners, which are rounded in a mask of stride 4, in the half that is wrong
    assert torch.tensor(halves).float().mean() > 0.9


def test_where_both_are_wrong_the_odds_are_the_roots_of_the_areas() -> None:
    truth = rectangles((8, 8, 40, 40))
    logits = low_res(rectangles((8, 16, 40, 60)))  # 20 columns too much, 8 missed
    labels = [
        correction(PromptBatch(boxes=exact_boxes(truth)), logits, truth, seeded(i)).labels.item()
        for i in range(200)
    ]
    assert 0.29 < sum(labels) / 200 < 0.49


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
