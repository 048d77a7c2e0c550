"""What the network says, on the next slice, of objects whose masks on a neighbour are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.embedding.features import Features
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Mode, TileFeatures
from napari_hqsam.segmentation.decode import Prediction, decode
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.refine.again import Outline, on_box, softened
from napari_hqsam.segmentation.volume.likeness import Likeness

_BATCH = 32
# Logits of the softened mask end here, this many pixels from the boundary.
_SOFT, _BAND = 1.0, 4.0
# What likeness weighs beside the network's logits. Chosen on six stacks, most of which `micro` was
# trained on: mean IoU within the objects' true ends .720, with twice as much .715.
_LIKENESS = 4.0
# Features that vary less than this share of what they did on the seed's slice: nothing is there.
BLANK = 0.05


@dataclass(frozen=True, eq=False)
class Answer:
    """What is seen of an object on the pixels of its outline's box.

    Attributes
    ----------
    logits : ndarray
        (h, w), above 0 where the object is.
    iou : float
        What the network expects of its masks, the mean over the two prompts.
    agreement : float
        IoU of the masks of the two prompts.
    """

    logits: NDArray[np.float32]
    iou: float
    agreement: float


def ask(
    features: Features,
    window: Window,
    outlines: Sequence[Outline],
    likenesses: Sequence[Likeness],
    mode: Mode,
) -> list[Answer]:
    """Ask the network for objects in one window.

    Each is asked for twice, as of the candidates that were tried these two together drift least:
    with the neighbour's mask, softened at its edge, and a point deep inside; and with its box
    beside these.

    Parameters
    ----------
    features : Features
    window : Window
        On the slice that is asked about.
    outlines : sequence of Outline
        The masks on the neighbouring slice.
    likenesses : sequence of Likeness
        What is known of how each looks.
    mode : {"hq+sam", "hq", "sam"}
    """
    features.prepare(window)  # gives way to those whom a user waits for
    tile = features.get(window)
    found: list[Answer] = []
    for start in range(0, len(outlines), _BATCH):
        part = outlines[start : start + _BATCH]
        known = likenesses[start : start + _BATCH]
        soft = [softened(outline, window, _SOFT, 2 * _SOFT / _BAND) for outline in part]
        clicked = [Prompts(points=[outline.heart]) for outline in part]
        boxed = [Prompts(points=[outline.heart], box=outline.ends) for outline in part]
        hq = mode != "sam"
        free = decode(features.model, tile, window, clicked, soft, hq=hq)
        held = decode(features.model, tile, window, boxed, soft, hq=hq)
        for outline, likeness, *both in zip(part, known, free, held, strict=True):
            found.append(_answer(outline, window, tile, likeness, both, mode))
    return found


def contrast(tile: TileFeatures, window: Window) -> float:
    """How much the features of a window vary: next to nothing on a blank slice."""
    shown = tile.embedding[0].float()
    h, w = (max(2, n // 16) for n in window.model_shape)
    return float(shown[:, :h, :w].flatten(1).std(dim=1).mean())


def _answer(
    outline: Outline,
    window: Window,
    tile: TileFeatures,
    likeness: Likeness,
    predictions: Sequence[Prediction],
    mode: Mode,
) -> Answer:
    logits, expected = [], []
    for prediction in predictions:
        logits.append(prediction.decoded.select(mode)[0][0, 0].cpu())
        expected.append(float(prediction.decoded.select("sam")[1][0, 0]))
    together = torch.stack(logits).mean(dim=0) + _LIKENESS * likeness.see(tile, window)
    return Answer(
        on_box(together, window, outline.box),
        float(np.mean(expected)),
        _iou(logits[0] > 0, logits[1] > 0),
    )


def _iou(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum()) / max(float((a | b).sum()), 1.0)
