"""SAM's automatic masks: a click on each point of a grid, and which of their masks are objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Decoded, HQSam, PromptBatch, TileFeatures
from napari_hqsam.segmentation.automatic.candidates import Candidates, part_at, shown_part

# Points at most so many model pixels apart, where nothing is known of the objects.
_SPACING = 32
# Of the diameter of an object, so many points.
_PER_DIAMETER = 2
_FEWEST, _MOST = 8, 32
# Candidates beyond this are thinned out before the next points are decoded.
_MANY = 512
# What covers more of its window than this is no object of it.
_EVERYTHING = 0.9


@dataclass(frozen=True)
class Filters:
    """Which masks pass before the HQ branch sees them; as in `AutomaticSettings`.

    Attributes
    ----------
    min_iou, min_stability, max_overlap : float
    """

    min_iou: float
    min_stability: float
    max_overlap: float


def points_per_side(diameter: float | None, side: int, input_size: int) -> int:
    """How many points a grid has along the side of a window.

    Parameters
    ----------
    diameter : float or None
        Of a typical object, in pixels of the image.
    side : int
        Of the window, in pixels of the image.
    input_size : int
        S.
    """
    if diameter is None:
        return max(_FEWEST, input_size // _SPACING)
    return min(max(round(_PER_DIAMETER * side / diameter), _FEWEST), _MOST)


def grid_points(window: Window, per_side: int) -> NDArray[np.float64]:
    """Points (P, 2), (y, x) in pixels of the plane, at equal distances over a window.

    Parameters
    ----------
    window : Window
    per_side : int
        Points along a whole side; what lies beyond the plane has none.
    """
    step = window.side / per_side
    along = []
    for first, length in zip(window.origin, window.shape, strict=True):
        # as many as fit, in the middle: a strip narrower than a step has one
        count = max(1, round(length / step))
        along.append(first + (np.arange(count) + 0.5) * (length / count) - 0.5)
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 2)


def batch_size(device: torch.device) -> int:
    """Prompts decoded at once: a CPU's caches hold few, a GPU waits for its kernels."""
    return 8 if device.type == "cpu" else 64


def grid_candidates(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    points: NDArray[np.float64],
    filters: Filters,
    pause: Callable[[], None] = lambda: None,
) -> Candidates:
    """The masks of a window that clicks on points give, filtered and without doubles, best first.

    Each point has SAM's three masks; the HQ branch does not run. Of a mask what counts is the part
    that was clicked on: specks elsewhere, on things that look alike, are no part of the object.

    Parameters
    ----------
    model : HQSam
    features : TileFeatures
        Of `window`, a batch of one.
    window : Window
    points : ndarray
        (P, 2), (y, x) in pixels of the plane.
    filters : Filters
    pause : callable
        Called before each batch.
    """
    size = batch_size(model.device)
    found = Candidates.none()
    many = _MANY
    for start in range(0, len(points), size):
        pause()
        batch = points[start : start + size]
        found = Candidates.join([found, _of_points(model, features, window, batch, filters)])
        if len(found) > many:
            found = found.suppressed(filters.max_overlap)
            many = len(found) + _MANY
    return found.suppressed(filters.max_overlap)


def seed_scores(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    points: NDArray[np.float64],
    pause: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """How surely there is an object at each of some points: (P,), predicted IoUs.

    Parameters
    ----------
    model, features, window, pause
        As for `grid_candidates`.
    points : ndarray
        (P, 2), (y, x) in pixels of the plane.

    Returns
    -------
    ndarray of float32
        Of the three masks of a click the best that holds it; 0 if none does.
    """
    size = batch_size(model.device)
    scores = [np.empty(0, np.float32)]
    for start in range(0, len(points), size):
        pause()
        batch = points[start : start + size]
        with torch.inference_mode():
            decoded = _clicked(model, features, window, batch)
            rows, columns = _low_res(window, batch).T
            index = torch.arange(len(batch), device=model.device)
            holds = decoded.sam[index, 1:, rows, columns] > 0
            best = (decoded.iou[:, 1:] * holds).amax(dim=1)
        scores.append(best.float().cpu().numpy())
    return np.concatenate(scores)


def _clicked(
    model: HQSam, features: TileFeatures, window: Window, points: NDArray[np.float64]
) -> Decoded:
    """One click on each of some points, without the HQ branch."""
    n = len(points)
    at = torch.from_numpy(window.to_model(points))[:, None].to(model.device)
    prompts = PromptBatch(at, torch.ones((n, 1), device=model.device))
    image_index = torch.zeros(n, dtype=torch.long, device=model.device)
    return model.decode(features, image_index, prompts, hq=False)


def _low_res(window: Window, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """(P, 2) the pixels (y, x) of the low-res logits that points lie in."""
    model = (window.to_model(points)[:, ::-1] + 0.5) // 4
    return np.clip(model, 0, np.subtract(shown_part(window), 1)).astype(np.int64)


def _of_points(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    points: NDArray[np.float64],
    filters: Filters,
) -> Candidates:
    with torch.inference_mode():
        decoded = _clicked(model, features, window, points)
        scores = decoded.iou[:, 1:].float()
        point, which = (scores >= filters.min_iou).nonzero(as_tuple=True)
        # only what passes leaves the device
        logits = decoded.sam[point, 1 + which].float().cpu()
        passed = scores[point, which].cpu().numpy()
    return _parts(logits, passed, points[point.cpu().numpy()], window, filters)


def _parts(
    logits: torch.Tensor,
    scores: NDArray[np.float32],
    points: NDArray[np.float64],
    window: Window,
    filters: Filters,
) -> Candidates:
    """Of masks (N, S/4, S/4) the parts that were clicked on, if they are objects."""
    h, w = shown_part(window)
    kept, parts = [], []
    for i, (y, x) in enumerate(_low_res(window, points).tolist()):
        part = part_at(logits[i, :h, :w].numpy(), (y, x))
        if part is None or part.area > _EVERYTHING * h * w:
            continue
        if part.stability >= filters.min_stability:
            kept.append(i)
            parts.append(part)
    return Candidates(
        [p.mask for p in parts],
        np.array([p.box for p in parts], dtype=np.int64).reshape(-1, 4),
        scores[kept],
        points[kept],
    )
