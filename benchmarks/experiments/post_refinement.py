"""SAM's mask refined on the image by a classical method that learns nothing.

The random walker (Grady, TPAMI 2006) of scikit-image: pixels of which SAM is certain are seeds, the
others go to the seed that a walk on the image, which shuns edges, reaches first.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.experiment import Scores, answers, score
from experiments.variants import Sam
from experiments.windows import GROUPS, Windows
from napari_hqsam.modeling import HQSam

TITLE = "SAM + random walker"
# Logits beyond which SAM counts as certain, and how much a walk shuns edges.
CERTAIN = (0.25, 0.5, 1.0, 2.0)
BETA = (130.0, 600.0, 2500.0)
_TUNING_WINDOWS = 24
# Around the pixels in doubt, so that the walk is solved on a small image.
_MARGIN = 4


def run(model: HQSam, windows: Mapping[str, Windows]) -> dict[str, Any]:
    """Tune both settings on training pictures, then measure in all groups."""
    sam = Sam(model.mask_decoder).eval()
    tune = _first(windows["tune"], _TUNING_WINDOWS)
    logits = answers(sam, model, tune)

    def quality(settings: tuple[float, float]) -> float:
        scores = _refined(logits, tune, *settings)
        return float(np.mean(scores["iou"]) + np.mean(scores["boundary_iou"]))

    certain, beta = max(((c, b) for c in CERTAIN for b in BETA), key=quality)
    scores = {}
    seconds, objects = 0.0, 0
    for group in GROUPS:
        logits_of_group = answers(sam, model, windows[group])
        began = time.monotonic()
        scores[group] = _refined(logits_of_group, windows[group], certain, beta)
        seconds += time.monotonic() - began
        objects += len(windows[group])
    return {
        "title": TITLE,
        "parameters": 0,
        "rate": None,
        "seconds": None,
        "settings": {"certain": certain, "beta": beta, "seconds_per_object": seconds / objects},
        "scores": scores,
    }


def refine(logits: np.ndarray, image: np.ndarray, certain: float, beta: float) -> np.ndarray:
    """The refined mask (S, S), of logits (S, S) and an image (S, S) in 0 to 1."""
    from skimage.segmentation import random_walker

    mask = logits > 0
    seeds = np.select([logits > certain, logits < -certain], [1, 2], 0)
    doubt = np.argwhere(seeds == 0)
    if not len(doubt) or not {1, 2} <= set(np.unique(seeds)):
        return mask
    low = np.maximum(doubt.min(axis=0) - _MARGIN, 0)
    high = doubt.max(axis=0) + 1 + _MARGIN
    part = slice(low[0], high[0]), slice(low[1], high[1])
    if not {1, 2} <= set(np.unique(seeds[part])):
        return mask
    with warnings.catch_warnings():
        # On islands of doubt that no seed touches, and on which solver it prefers.
        warnings.simplefilter("ignore")
        walked = random_walker(image[part], seeds[part], beta=beta, mode="cg_j", tol=1e-2)
    mask[part] = np.where(walked > 0, walked == 1, mask[part])
    return mask


def _refined(logits: Tensor, windows: Windows, certain: float, beta: float) -> Scores:
    grey = windows.images.float().mean(dim=1).numpy() / 255
    masks = [
        refine(one, image, certain, beta) for one, image in zip(logits.numpy(), grey, strict=True)
    ]
    return score(torch.from_numpy(np.stack(masks)), windows)


def _first(windows: Windows, count: int) -> Windows:
    """Windows spread over all of them."""
    at = torch.linspace(0, len(windows) - 1, min(count, len(windows))).round().long()
    return Windows(**{name: tensor[at] for name, tensor in vars(windows).items()})
