from __future__ import annotations

import torch
from torch.nn import functional as F

from napari_hqsam.evaluation.coarse import coarse_mask


def disc(radius: float = 70) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    return ((y - 128) ** 2 + (x - 128) ** 2 < radius**2).float()[None, None]


def draw(masks: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return coarse_mask(masks, torch.Generator().manual_seed(seed))


def test_disturbed_along_the_boundary_alone() -> None:
    masks = disc()
    coarse = draw(masks)
    assert coarse.shape == masks.shape
    assert coarse.dtype == torch.float32
    assert set(coarse.unique().tolist()) == {0, 1}
    changed = coarse != masks
    # Bilinear interpolation of an eightfold grid reaches 8 + 4 pixels.
    near = F.max_pool2d(masks, 25, 1, 12) + F.max_pool2d(-masks, 25, 1, 12) > 0
    assert not (changed & ~near).any()
    # Of the pixels that differ from their coarse version, σ = 1 moves a third across 0.5.
    small = F.interpolate(masks, (32, 32), mode="bilinear")
    fine = (masks - F.interpolate(small, (256, 256), mode="bilinear")).abs() >= 0.01
    assert not (changed & ~fine).any()
    assert 0.26 < changed[fine].float().mean() < 0.36


def test_thin_parts_are_lost_in_places() -> None:
    masks = torch.zeros(1, 1, 256, 256)
    masks[..., 100:102, 20:236] = 1
    coarse = draw(masks)
    kept = coarse[masks > 0].mean()
    assert 0.6 < kept < 0.78  # P(noise > -0.5) = 0.69


def test_nothing_to_disturb() -> None:
    for value in (0.0, 1.0):
        masks = torch.full((1, 1, 256, 256), value)
        assert torch.equal(draw(masks), masks)


def test_seeded_and_each_mask_on_its_own() -> None:
    masks = torch.cat([disc(), disc()])
    coarse = draw(masks, seed=3)
    assert torch.equal(coarse, draw(masks, seed=3))
    assert not torch.equal(coarse, draw(masks, seed=4))
    assert not torch.equal(coarse[0], coarse[1])


def test_soft_masks_and_other_sizes() -> None:
    soft = F.avg_pool2d(disc(), 4)
    coarse = draw(soft)
    assert coarse.shape == (1, 1, 64, 64)
    assert set(coarse.unique().tolist()) == {0, 1}
    assert (coarse[0, 0, 32, 32], coarse[0, 0, 0, 0]) == (1, 0)
