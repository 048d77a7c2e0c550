"""Look at labelled objects again: what the network says of them, told roughly where they are.

An object's box alone makes the network fill a box that was drawn too wide; its mask as it is makes
it repeat the mask. So it is asked twice: with a point and the mask softened in the band in which
the boundary may lie, which is right about the size of objects drawn too wide or too narrow, and
with the box, which is more exact where the labels were nearly right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.embedding.features import Features
from napari_hqsam.images.windows import Window
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.modeling import HQSam, Mode, TileFeatures
from napari_hqsam.segmentation.decode import decode
from napari_hqsam.segmentation.mask import OUTSIDE, upscale, window_logits
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.refine.settle import depth

_BATCH = 32
# Weight of the answer to the box; the other one has the rest. Chosen on training images.
_BOX_WEIGHT = 1 / 3
# Logits of the softened mask: they end here, at half of the band from the boundary. A part has no
# box to hold it, and is told more firmly where it is: so much a pixel, up to that.
_SOFT = 1.0
_FIRM = 8.0


@dataclass(frozen=True, eq=False)
class Outline:
    """An object as its labels show it.

    Attributes
    ----------
    mask : ndarray of bool
        (h, w), not empty.
    box : tuple of int
        (y0, x0, y1, x1) in the plane that `mask` shows.
    """

    mask: NDArray[np.bool_]
    box: Box

    @cached_property
    def depth(self) -> NDArray[np.float64]:
        """(h, w), see `settle.depth`."""
        return depth(self.mask)

    @cached_property
    def heart(self) -> tuple[int, int]:
        """(y, x) in the plane of the pixel deepest inside."""
        y, x = np.unravel_index(int(self.depth.argmax()), self.mask.shape)
        return int(y) + self.box[0], int(x) + self.box[1]

    @cached_property
    def ends(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1), the outermost pixels."""
        y, x = np.nonzero(self.mask)
        oy, ox = self.box[:2]
        return float(y.min() + oy), float(x.min() + ox), float(y.max() + oy), float(x.max() + ox)


class Answer(NamedTuple):
    """What the network says of an object, on the pixels of its outline's box.

    Attributes
    ----------
    logits : ndarray
        (h, w), above 0 where it sees the object; what the window does not show is `OUTSIDE`.
    of_box, of_point : ndarray or None
        (h, w) the answers that they are made of; None for a part.
    """

    logits: NDArray[np.float32]
    of_box: NDArray[np.float32] | None = None
    of_point: NDArray[np.float32] | None = None


def look_again(
    features: Features,
    window: Window,
    outlines: Sequence[Outline],
    band: float,
    mode: Mode,
    *,
    whole: bool = True,
) -> list[Answer]:
    """Ask the network about objects of which there is an outline.

    Parameters
    ----------
    features : Features
    window : Window
        In which they lie.
    outlines : sequence of Outline
    band : float
        By how many pixels their boundaries may be wrong.
    mode : {"hq+sam", "hq", "sam"}
    whole : bool
        Whether the window shows the objects whole, so that they have a box.

    Returns
    -------
    list of Answer
        One for each outline.
    """
    found: list[Answer] = []
    features.prepare(window)  # gives way to those whom a user waits for
    tile = features.get(window)
    for start in range(0, len(outlines), _BATCH):
        part = outlines[start : start + _BATCH]
        limit, slope = (_SOFT, 2 * _SOFT / band) if whole else (_FIRM, _FIRM / 2)
        soft = [softened(outline, window, limit, slope) for outline in part]
        points = [Prompts(points=[outline.heart]) for outline in part]
        of_point = _logits(features.model, tile, window, points, soft, mode)
        if not whole:
            pairs = zip(part, of_point, strict=True)
            found += [Answer(on_box(logits, window, outline.box)) for outline, logits in pairs]
            continue
        boxes = [Prompts(box=outline.ends) for outline in part]
        of_box = _logits(features.model, tile, window, boxes, [None] * len(part), mode)
        for outline, *answers in zip(part, of_point, of_box, strict=True):
            point, box = (on_box(logits, window, outline.box) for logits in answers)
            found.append(Answer(point + _BOX_WEIGHT * (box - point), box, point))
    return found


def _logits(
    model: HQSam,
    tile: TileFeatures,
    window: Window,
    prompts: Sequence[Prompts],
    previous: Sequence[NDArray[np.float32] | None],
    mode: Mode,
) -> torch.Tensor:
    """Low-res logits (N, S/4, S/4) of objects."""
    decoded = decode(model, tile, window, prompts, previous, hq=mode != "sam")
    with torch.inference_mode():
        return torch.stack([of.decoded.select(mode)[0][0, 0] for of in decoded])


def softened(outline: Outline, window: Window, limit: float, slope: float) -> NDArray[np.float32]:
    """The mask as low-res logits (S/4, S/4) that leave open where near its edge it ends."""
    depth = np.clip(outline.depth * slope, -limit, limit).astype(np.float32)
    logits = window_logits(torch.from_numpy(depth), outline.box[:2], window)
    return logits.clamp(-limit, limit).numpy()


def on_box(logits: torch.Tensor, window: Window, box: Box) -> NDArray[np.float32]:
    """Low-res logits (S/4, S/4) on the pixels (h, w) of a box of the plane."""
    out = np.full((box[2] - box[0], box[3] - box[1]), OUTSIDE, np.float32)
    low = np.maximum(box[:2], window.origin)
    high = np.minimum(box[2:], np.add(window.origin, window.shape))
    if (low < high).all():
        region = (*(low - window.origin).tolist(), *(high - window.origin).tolist())
        with torch.inference_mode():
            shown = upscale(logits[None, None], window, region)[0].cpu().numpy()
        (y0, x0), (y1, x1) = low - box[:2], high - box[:2]
        out[y0:y1, x0:x1] = shown
    return out
