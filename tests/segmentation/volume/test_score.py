"""How sure a mask is, and what an object looks like."""

from __future__ import annotations

import numpy as np
import torch

from napari_hqsam.images.windows import whole_plane
from napari_hqsam.modeling import TileFeatures
from napari_hqsam.segmentation.refine.again import Outline
from napari_hqsam.segmentation.volume.likeness import Likeness, look
from napari_hqsam.segmentation.volume.score import Evidence, Judge

from .stacks import disc

SURE = Evidence(iou=0.9, margin=5.0, agreement=0.95, area=500)


def judge() -> Judge:
    found = Judge(500)
    found.score(SURE)
    found.score(SURE)
    return found


def test_what_looks_as_next_to_the_seed_is_sure() -> None:
    assert judge().score(SURE) > 0.7


def test_whatever_is_less_makes_less_sure() -> None:
    sure = judge().score(SURE)
    less = (
        Evidence(0.5, 5.0, 0.95, 500),
        Evidence(0.9, 1.0, 0.95, 500),
        Evidence(0.9, 5.0, 0.3, 500),
        Evidence(0.9, 5.0, 0.95, 90),
    )
    assert all(judge().score(evidence) < sure - 0.05 for evidence in less)
    assert judge().score(Evidence(0.4, 0.5, 0.3, 60)) < 0.2


def test_an_object_that_the_network_expects_little_of_is_followed_as_well() -> None:
    modest = Judge(500)
    evidence = Evidence(0.45, 2.0, 0.9, 500)
    for _ in range(4):
        assert modest.score(evidence) > 0.6


def features_of(picture: np.ndarray, seed: int = 0) -> TileFeatures:
    """32 channels that tell bright from dark, and noise."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(picture[::4, ::4].astype(np.float32))
    hq = torch.from_numpy(rng.normal(0, 0.2, (32, *small.shape)).astype(np.float32))
    hq[3] += small
    hq[7] -= small
    return TileFeatures(torch.zeros(1, 256, 8, 8), hq[None])


def test_likeness_finds_again_what_it_has_learnt() -> None:
    shape, box = (128, 128), (10, 10, 90, 100)
    here, there = disc(50, 55, 20, shape), disc(52, 60, 12, shape)
    window = whole_plane(shape, 128)
    likeness = Likeness()
    untold = likeness.see(features_of(here), window)
    assert not untold.any()
    likeness.learn(look(features_of(here), window, Outline(here[10:90, 10:100], box)))
    again = Likeness.from_arrays(likeness.arrays())
    for each in (likeness, again):
        seen = each.see(features_of(there, seed=1), window).numpy() > 0
        truth = there[::4, ::4]
        assert (seen & truth).sum() / (seen | truth).sum() > 0.7
