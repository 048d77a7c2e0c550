"""What an object looks like: a linear view of the features that tells it from what lies around.

The network follows the mask that it is told of; where the object ends or turns, what it looked
like before says so. Ridge regression of the signed distance from the boundary on the HQ features,
learnt on the seed's slice and on those that were passed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import TileFeatures
from napari_hqsam.segmentation.mask import window_logits
from napari_hqsam.segmentation.refine.again import Outline

# Distances, in pixels of the logits, beyond which it does not matter how far.
_CLIP = 3.0
# What lies around an object: so many radii, and at least so many pixels of the logits.
_AROUND, _LEAST_AROUND = 2.0, 6.0
_RIDGE = 0.01
# How much the seed's slice counts for good, and of the others the last one.
_OF_SEED, _OF_LAST = 0.3, 0.5
_FAR = 12.0

Look = tuple[Tensor, Tensor]
"""(C + 1, C + 1) and (C + 1,) sums over pixels, of C features and 1."""


class Likeness:
    """Learns an object slice by slice; see the module."""

    def __init__(self) -> None:
        self._seed: Look | None = None
        self._since: Look | None = None
        self._weights: Tensor | None = None

    def learn(self, here: Look | None) -> None:
        """Take in how the object looks on a slice."""
        if here is None:
            return
        if self._seed is None or self._since is None:
            self._seed = self._since = here
        else:
            self._since = _mixed(self._since, here, _OF_LAST)
        a, b = _mixed(self._seed, self._since, 1 - _OF_SEED)
        ridge = _RIDGE * a.diagonal().mean() * torch.eye(len(b), dtype=a.dtype)
        self._weights = torch.linalg.solve(a + ridge, b).float()

    def see(self, tile: TileFeatures, window: Window) -> Tensor:
        """(S/4, S/4), near 1 where it looks like the object, near -1 where like its surroundings.

        0 everywhere if nothing was learnt.
        """
        if tile.hq is None or self._weights is None:
            return torch.zeros(window.input_size // 4, window.input_size // 4)
        features = tile.hq[0].float().cpu()
        seen = torch.tensordot(self._weights[:-1], features, dims=1) + self._weights[-1]
        return torch.where(_shown(window, tuple(seen.shape)), seen, -1.0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learnt."""
        if self._seed is None or self._since is None or self._weights is None:
            return {}
        parts = (*self._seed, *self._since, self._weights)
        return {f"likeness{i}": part.numpy() for i, part in enumerate(parts)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` gave."""
        found = cls()
        if "likeness0" in arrays:
            a, b, c, d, e = (torch.from_numpy(np.array(arrays[f"likeness{i}"])) for i in range(5))
            found._seed, found._since, found._weights = (a, b), (c, d), e
        return found


def look(tile: TileFeatures, window: Window, outline: Outline) -> Look | None:
    """How an object looks on a slice: sums over its pixels and those around it.

    None for a model without HQ features, and where there is no object or nothing else.
    """
    if tile.hq is None or not outline.mask.any():
        return None
    distance = _distance(outline, window)
    flat = distance.reshape(-1)
    radius = max(float(flat.max()), 2.0)
    used = _shown(window, tuple(distance.shape)).reshape(-1)
    used &= flat > -max(_AROUND * radius, _LEAST_AROUND)
    target = (flat[used] / min(_CLIP, radius)).clamp(-1, 1).double()
    inside = target > 0
    if not inside.any() or inside.all():
        return None
    features = tile.hq[0].flatten(1).cpu()[:, used].double()
    known = torch.cat([features, torch.ones_like(target)[None]])
    weights = torch.where(inside, 0.5 / inside.sum(), 0.5 / (~inside).sum())
    weighted = known * weights
    return weighted @ known.T, weighted @ target


def _mixed(a: Look, b: Look, of_b: float) -> Any:
    return tuple((1 - of_b) * x + of_b * y for x, y in zip(a, b, strict=True))


def _distance(outline: Outline, window: Window) -> Tensor:
    """(S/4, S/4) depth in the object, in pixels of the logits."""
    depth = torch.from_numpy(np.clip(outline.depth, -_FAR, _FAR).astype(np.float32))
    shown = window_logits(depth, outline.box[:2], window)
    shown = torch.where(shown <= -_FAR / 1.5, torch.full_like(shown, -_FAR), shown)
    return shown * (window.scale / 4)


def _shown(window: Window, shape: tuple[int, ...]) -> Tensor:
    """Which logits (S/4, S/4) show pixels of the plane."""
    shown = torch.zeros(shape, dtype=torch.bool)
    h, w = (max(1, n // 4) for n in window.model_shape)
    shown[:h, :w] = True
    return shown
