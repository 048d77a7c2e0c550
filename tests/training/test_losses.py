"""Losses, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.training import losses
from napari_hqsam.training.losses import (
    dice_loss,
    edge_weights,
    focal_loss,
    hq_mask_loss,
    point_values,
    sam_mask_loss,
    sample_uncertain_points,
    soft_iou,
)

LN2 = math.log(2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_dice() -> None:
    target = torch.tensor([[[[1.0, 1], [0, 0]]], [[[0, 0], [0, 0]]], [[[1, 1], [1, 1]]]])
    undecided = torch.zeros(3, 1, 2, 2)  # p = 1/2
    # 1 - (2 * sum(pt) + 1) / (sum(p) + sum(t) + 1)
    expected = [1 - 3 / 5, 1 - 1 / 3, 1 - 5 / 7]
    assert dice_loss(undecided, target).tolist() == pytest.approx(expected)
    certain = (target * 2 - 1) * 100
    assert dice_loss(certain, target).tolist() == pytest.approx([0, 0, 0])
    assert dice_loss(-certain, target).tolist() == pytest.approx([1 - 1 / 5, 1 - 1 / 5, 1 - 1 / 5])


def test_focal() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 100.0]])  # p = 1/2, 1/2; 3/4, 1
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # (t - p)² times cross-entropy
    expected = [LN2 / 4, (9 / 16 * math.log(4) + 0) / 2]
    assert focal_loss(logits, target, torch.ones(2, 2)).tolist() == pytest.approx(expected)
    soft = torch.tensor([[0.5, 0.5]])
    assert focal_loss(torch.zeros(1, 2), soft, torch.ones(1, 2)).item() == 0
    # a pixel of weight 3 counts three times
    one = focal_loss(logits[1:], target[1:], torch.tensor([[3.0, 1.0]])).item()
    assert one == pytest.approx(3 / 4 * 9 / 16 * math.log(4))


def test_edges_weigh_more() -> None:
    target = torch.zeros(1, 1, 40, 40)
    target[..., 20:] = 1
    weights = edge_weights(target, width=4, weight=4.0)
    assert weights[0, 0, 7].tolist() == [1.0] * 16 + [5.0] * 8 + [1.0] * 16
    assert (edge_weights(torch.ones(1, 1, 9, 9)) == 1).all()


def test_sam_mask_loss_is_20_focal_and_1_dice() -> None:
    logits, target = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 1], [0, 0]]]])
    weights = torch.ones_like(target)
    assert sam_mask_loss(logits, target, weights).item() == pytest.approx(20 * LN2 / 4 + 0.4)


def test_iou() -> None:
    logits = torch.tensor([[3.0, 3, -3, -3], [3, 3, 3, 3], [-3, -3, -3, -3], [0, 0, 0, 0]])
    target = torch.tensor([[0.0, 1, 1, 0], [1, 1, 0.6, 0.5], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert soft_iou(logits, target).tolist() == pytest.approx([1 / 3, 3 / 4, 0, 0])


def test_point_values_takes_x_first_and_interpolates_between_centres() -> None:
    planes = torch.tensor([[[[0.0, 10], [20, 30]]]])
    points = torch.tensor([[[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.25, 0.5]]])
    assert point_values(planes, points).tolist() == [pytest.approx([10, 20, 15, 10])]


def test_a_point_means_the_same_place_in_planes_of_any_size() -> None:
    """As the logits, of stride 4, and the truth at full size are compared."""
    coarse = (torch.arange(16) + 0.5).expand(1, 1, 16, 16) / 16
    fine = (torch.arange(64) + 0.5).expand(1, 1, 64, 64) / 64
    points = torch.rand((1, 500, 2), generator=seeded()) * 0.9 + 0.05
    for planes in (coarse, fine):
        torch.testing.assert_close(point_values(planes, points)[0], points[0, :, 0])


def disc_logits(n: int = 2, side: int = 64) -> Tensor:
    grid = torch.arange(side) + 0.5 - side / 2
    return (side / 4 - torch.hypot(grid[:, None], grid)).expand(n, 1, side, side)


def test_sampled_points_gather_at_the_boundary() -> None:
    logits = disc_logits()
    points = sample_uncertain_points(logits, seeded(), points=2000)
    assert points.shape == (2, 2000, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    distance = point_values(logits, points).abs()
    # three quarters are the nearest 1500 of 6000 places: a band that holds a quarter of the plane
    places = point_values(logits, torch.rand((2, 50_000, 2), generator=seeded(9)))
    band = places.abs().quantile(0.25).item()
    assert (distance[:, :1500] < 1.1 * band).all()
    share = (distance < band).float().mean().item()
    assert share == pytest.approx(0.75 + 0.25 * 0.25, abs=0.04)
    # the rest is uniform
    assert points[:, 1500:].mean(dim=(0, 1)).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
    assert points[:, 1500:].std(dim=(0, 1)).tolist() == pytest.approx([12**-0.5] * 2, abs=0.02)


def test_as_many_points_as_in_the_paper_and_the_same_from_the_same_seed() -> None:
    one, two = (sample_uncertain_points(disc_logits(1), seeded(4)) for _ in range(2))
    assert one.shape == (1, 12_544, 2)
    assert torch.equal(one, two)
    assert not torch.equal(one, sample_uncertain_points(disc_logits(1), seeded(5)))


def test_hq_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """At four points: three on the object, one of them missed, and one beside it."""
    points = torch.tensor([[[0.25, 0.25], [0.25, 0.5], [0.25, 0.75], [0.75, 0.5]]])
    monkeypatch.setattr(losses, "sample_uncertain_points", lambda logits, generator: points)
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., :32] = 1
    logits = torch.full((1, 1, 16, 16), -math.log(3))  # p = 1/4 on the right
    logits[..., :8] = math.log(3)  # p = 3/4 on the left, but for the lower half
    logits[..., 8:, :8] = -math.log(3)
    # at (0.25, 0.5), between both, p = 1/2
    bce = (math.log(4 / 3) + LN2 + math.log(4) + math.log(4 / 3)) / 4
    dice = 1 - (2 * (3 / 4 + 1 / 2 + 1 / 4) + 1) / (3 / 4 + 1 / 2 + 1 / 4 + 1 / 4 + 3 + 1)
    assert hq_mask_loss(logits, masks, seeded()).item() == pytest.approx(bce + dice)


def test_hq_loss_is_least_where_the_mask_is() -> None:
    truth = (disc_logits(1, 256) > 0).float()
    right = F.avg_pool2d(truth, 4) * 8 - 4
    loss = {
        shift: hq_mask_loss(right.roll(shift, dims=3), truth, seeded()).item()
        for shift in range(-2, 3)
    }
    assert min(loss, key=loss.__getitem__) == 0
    assert loss[-1] == pytest.approx(loss[1], rel=0.05)  # no half pixel to one side
    assert loss[1] > 1.3 * loss[0]


def test_hq_loss_sends_gradients_to_the_logits() -> None:
    logits = disc_logits(1).clone().requires_grad_()
    hq_mask_loss(logits, torch.zeros(1, 1, 256, 256), seeded()).backward()
    assert logits.grad is not None
    assert (logits.grad >= 0).all()  # nothing is there: all logits must fall
    assert (logits.grad > 0).any()
