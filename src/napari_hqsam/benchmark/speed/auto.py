"""How fast all objects of a window are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.benchmark.figures import Figure, Report
from napari_hqsam.benchmark.models import is_random
from napari_hqsam.benchmark.speed.generator import StockGenerator
from napari_hqsam.benchmark.speed.machine import finisher, setting
from napari_hqsam.benchmark.speed.pairs import Run, Times, in_turn
from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.benchmark.speed.windows import batches, boxes, clicks, of_image, picture, windows
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, Mode
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.automatic import Automatic, AutomaticSettings
from napari_hqsam.segmentation.automatic.drawing import Drawing, draw_boxes
from napari_hqsam.segmentation.automatic.grid import batch_size
from napari_hqsam.segmentation.stitch import Instances

_OURS, _THEIRS = "a window", "as shipped"
_RATIO, _SAME = 3.0, 0.9
# Of a network that has learnt nothing so many of the masks pass, and so many objects are drawn.
_SHARE, _OBJECTS = 0.05, 64
# A grid to warm up with.
_FEW = 4

Masks = Sequence[NDArray[np.bool_]]


def measure_auto(
    model: HQSam,
    *,
    grid: int = 32,
    rounds: int = 3,
    against: bool = True,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Find the objects of one encoded window, in turn with segment-anything's generator.

    The generator has HQ-SAM's decoder on each point. Both filter by the same predicted IoU and
    stability: those that suit the model. Random weights have no such measure: of their masks one in
    twenty passes, and the boxes of 64 objects are decoded with the HQ branch besides, since they
    find few or none.

    Parameters
    ----------
    model : HQSam
    grid : int
        Clicks along a side.
    rounds : int
    against : bool
        Whether the generator takes its turns.
    tell : callable
        Takes a line on what is done now.
    """
    name = "segment-anything's SamAutomaticMaskGenerator, HQ-SAM's decoder on every point"
    report = Report("auto", setting(model, rounds, name if against else None))
    pixels = picture(model.input_size)
    tell("encoding a window")
    with torch.inference_mode():
        encoded = model.image_encoder(windows(model, 1))
    with Segmenter(pixels, model=model) as segmenter, _settings(segmenter, grid) as settings:
        filters = Automatic(segmenter.features, pixels.shape[:2], 0, settings).settings
        found: dict[str, Any] = {}

        def ours(settings: AutomaticSettings) -> None:
            finder = Automatic(segmenter.features, pixels.shape[:2], 0, settings)
            (window,) = finder.windows([()])
            found[_OURS] = finder.find(window)
            if is_random(model):
                _draw_all(segmenter, window)

        def theirs(per_side: int) -> None:
            generator = StockGenerator(
                Stock(model),
                *encoded,
                points_per_side=per_side,
                min_iou=filters["min_iou"],
                min_stability=filters["min_stability"],
            )
            found[_THEIRS] = generator.generate(pixels)

        few = min(grid, _FEW)
        runs: dict[str, Run] = {_OURS: partial(ours, settings)}
        first: dict[str, Run] = {_OURS: partial(ours, replace(settings, points_per_side=few))}
        if against:
            runs[_THEIRS], first[_THEIRS] = partial(theirs, grid), partial(theirs, few)
        times = in_turn(runs, rounds, first=first, finish=finisher(model.device), tell=tell)
    keys = ("points_per_side", "min_iou", "min_stability")
    report.setting |= {key.replace("_", " "): filters[key] for key in keys}
    report.figures += _figures(times, _masks(found[_OURS]), found.get(_THEIRS), model)
    report.tables.append(times.table("times"))
    return report


@contextmanager
def _settings(segmenter: Segmenter, grid: int) -> Iterator[AutomaticSettings]:
    """What both filter by; within, random weights predict IoUs that a few pass."""
    model = segmenter.model
    mode: Mode = "hq+sam" if model.has_hq else "sam"
    settings = AutomaticSettings(points_per_side=grid, mode=mode)
    if not is_random(model):
        yield settings
        return
    bias = model.mask_decoder.iou_prediction_head.layers[-1].bias
    before = bias.clone()
    with torch.no_grad():
        bias += 0.5 - torch.quantile(_predicted_ious(segmenter, grid), 1 - _SHARE)
    try:
        yield replace(settings, min_iou=0.5, min_stability=0.0)
    finally:
        with torch.no_grad():
            bias.copy_(before)


def _predicted_ious(segmenter: Segmenter, grid: int) -> torch.Tensor:
    """Those of all masks of a grid of clicks."""
    model = segmenter.model
    with torch.inference_mode():
        features = model.prepare(model.encode(windows(model, 1)))
        parts = batches(clicks(model, grid), batch_size(model.device))
        return torch.cat(
            [model.decode(features, of_image(p), p, hq=False).iou[:, 1:].flatten() for p in parts]
        )


def _draw_all(segmenter: Segmenter, window: Window) -> Instances:
    """The objects of the picture, from their boxes: as many as a crowded window has."""
    model = segmenter.model
    x0, y0, x1, y1 = boxes(model.input_size, _OBJECTS).astype(np.int64).T
    places = np.stack([y0, x0, y1 + 1, x1 + 1], axis=1)
    drawing = Drawing("hq+sam" if model.has_hq else "sam")
    features, scores = segmenter.features.get(window), np.ones(_OBJECTS, np.float32)
    return draw_boxes(model, features, window, places, scores, segmenter.plane_shape, drawing)


def _figures(times: Times, ours: Masks, theirs: Masks | None, model: HQSam) -> Iterator[Figure]:
    took = times.median(_OURS)
    if theirs is not None:
        target = _RATIO if model.device.type == "cpu" else None
        about = f"{took:.3g} against {times.median(_THEIRS):.3g} s"
        yield times.figure("a window, against as shipped", _THEIRS, _OURS, target, about)
    about = f"{len(ours)} objects; encoded before"
    if is_random(model):
        about = f"{_OBJECTS} boxes decoded with the HQ branch, and what was found; encoded before"
    yield Figure("a window", took, "s", None, about)
    if theirs is not None:
        same = agreeing(ours, theirs)
        about = f"of {len(ours)}; as shipped {len(theirs)}, {agreeing(theirs, ours)} among ours"
        if is_random(model):
            about += "; random weights find nothing that there is"
        yield Figure(f"objects with an IoU of {_SAME} with one as shipped", same, "", None, about)


def agreeing(masks: Masks, others: Masks, iou: float = _SAME) -> int:
    """How many of some masks (S, S) have one among others that is nearly the same."""
    from pycocotools import mask as coco

    if not masks or not others:
        return 0
    one, other = (
        [coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in some]
        for some in (masks, others)
    )
    return int((coco.iou(one, other, [False] * len(other)).max(axis=1) >= iou).sum())


def _masks(found: Instances) -> list[NDArray[np.bool_]]:
    """Masks of the whole window."""
    masks = []
    for i in range(len(found)):
        rows, (height, width) = found.rows(i), found.box[2:]
        steps = np.zeros((height, width + 1), np.int8)
        steps[rows.y, rows.x0] += 1
        steps[rows.y, rows.x1] -= 1
        masks.append(steps.cumsum(axis=1)[:, :-1] > 0)
    return masks
