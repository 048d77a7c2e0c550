"""From the boxes of objects in a window to their masks in full resolution, with the HQ branch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.images.windows import Window
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.modeling import HQSam, Mode, PromptBatch, TileFeatures
from napari_hqsam.segmentation.automatic.candidates import (
    Bools,
    keep_best,
    stability,
    uncovered,
)
from napari_hqsam.segmentation.automatic.grid import batch_size
from napari_hqsam.segmentation.mask import MAX_PIXELS, Mask, trimmed, upscale
from napari_hqsam.segmentation.polish import polish
from napari_hqsam.segmentation.stitch import Instances

# A mask may reach so far beyond the box that it was asked for, as a share of the box.
_MARGIN = 0.25
# Of an object so much must be in no better one.
_SEEN = 0.5


@dataclass(frozen=True)
class Drawing:
    """How masks are drawn; as in `AutomaticSettings`.

    Attributes
    ----------
    mode : {"hq+sam", "hq", "sam"}
    threshold : float
    fill_holes : bool
    max_overlap : float
    min_size, max_size : int
    exclude_edges : bool
    longest : float
        Objects that are higher or wider, in pixels, are left out.
    """

    mode: Mode = "hq+sam"
    threshold: float = 0.0
    fill_holes: bool = False
    max_overlap: float = 0.5
    min_size: int = 0
    max_size: int | None = None
    exclude_edges: bool = False
    longest: float = math.inf

    def wants(self, area: int, box: Box, shape: tuple[int, int]) -> bool:
        """Whether an object of so many pixels and that box, on a plane of `shape`, is wanted."""
        if area < max(self.min_size, 1) or (self.max_size is not None and area > self.max_size):
            return False
        y0, x0, y1, x1 = box
        if max(y1 - y0, x1 - x0) > self.longest:
            return False
        at_edge = min(y0, x0) <= 0 or y1 >= shape[0] or x1 >= shape[1]
        return not (self.exclude_edges and at_edge)


def draw_boxes(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    boxes: NDArray[np.int64],
    scores: NDArray[np.float32],
    shape: tuple[int, int],
    drawing: Drawing,
    pause: Callable[[], None] = lambda: None,
) -> Instances:
    """The objects that boxes show, of two that are the same the better one.

    A box is a far better prompt than the click that found the object, and it is decoded with the
    HQ branch. Of a mask its largest connected part is the object.

    Parameters
    ----------
    model : HQSam
    features : TileFeatures
        Of `window`, a batch of one.
    window : Window
    boxes : ndarray
        (N, 4), (y0, x0, y1, x1), half-open, in model pixels.
    scores : ndarray
        (N,) how good they are; the scores of the masks are these times their predicted IoU and
        their stability.
    shape : tuple of int
        (height, width) of the plane.
    drawing : Drawing
    pause : callable
        Called before each batch.
    """
    masks: list[Bools] = []
    places: list[Box] = []
    marks: list[float] = []
    for i, sam, logits, iou in _decoded(model, features, window, boxes, drawing.mode, pause):
        mask = _mask(logits, window, boxes[i], drawing)
        if mask is None or not drawing.wants(mask.area, mask.bbox, shape):
            continue
        masks.append(mask.data)
        places.append(mask.bbox)
        marks.append(float(scores[i]) * iou * stability(sam))
    at = np.array(places, dtype=np.int64).reshape(-1, 4)
    values = np.array(marks, dtype=np.float32)
    kept = keep_best(masks, at, values, drawing.max_overlap)
    kept = uncovered(masks, at, kept, _SEEN)
    found = [(masks[i], places[i]) for i in kept]
    return Instances.of(window.plane, shown_box(window), found, values[kept])


def shown_box(window: Window) -> Box:
    """The pixels of its plane that a window shows."""
    (y, x), (h, w) = window.origin, window.shape
    return y, x, y + h, x + w


def _decoded(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    boxes: NDArray[np.int64],
    mode: Mode,
    pause: Callable[[], None],
) -> Iterator[tuple[int, Tensor, Tensor, float]]:
    """Of each box SAM's logits (S/4, S/4), those of the mode, and the predicted IoU."""
    size = batch_size(model.device)
    for start in range(0, len(boxes), size):
        pause()
        y0, x0, y1, x1 = boxes[start : start + size].T
        corners = np.stack([x0, y0, x1 - 1, y1 - 1], axis=1).astype(np.float32)
        with torch.inference_mode():
            prompts = PromptBatch(boxes=torch.from_numpy(corners).to(model.device))
            image_index = torch.zeros(len(corners), dtype=torch.long, device=model.device)
            decoded = model.decode(features, image_index, prompts, hq=mode != "sam")
            logits, iou = decoded.select(mode)
            sam = decoded.sam[:, 0].float().cpu()
            logits, values = logits[:, 0].float().cpu(), iou[:, 0].tolist()
        for k, value in enumerate(values):
            yield start + k, sam[k], logits[k], value


def _mask(logits: Tensor, window: Window, box: NDArray[np.int64], drawing: Drawing) -> Mask | None:
    """The mask of an object in pixels of the plane; None if there is nothing to draw."""
    y0, x0, y1, x1 = _region(window, box)
    if (y1 - y0) * (x1 - x0) > MAX_PIXELS:
        return None
    with torch.inference_mode():
        shown = upscale(logits[None, None], window, (y0, x0, y1, x1))[0]
    part = _largest_part((shown > drawing.threshold).numpy())
    data, at = trimmed(part, (window.origin[0] + y0, window.origin[1] + x0))
    mask = Mask(data, at, window.plane, 0.0, window, logits.numpy(), None)
    return polish(mask, fill_holes=drawing.fill_holes)


def _region(window: Window, box: NDArray[np.int64]) -> Box:
    """The pixels of a window in which the mask of a box in model pixels is drawn."""
    reach = (box[2:] - box[:2]) * _MARGIN + 4
    low = np.maximum(box[:2] - reach, 0) / window.model_shape * window.shape
    high = np.minimum(box[2:] + reach, window.model_shape) / window.model_shape * window.shape
    (y0, x0), (y1, x1) = low.tolist(), high.tolist()
    return math.floor(y0), math.floor(x0), math.ceil(y1), math.ceil(x1)


def _largest_part(mask: Bools) -> Bools:
    from scipy.ndimage import label

    parts, n = label(mask)
    if n < 2:
        return mask
    return parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
