"""What windows at hand cost in accuracy, for objects that they cut and for larger ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hqsam.benchmark.figures import Figure, Report, setting_of
from napari_hqsam.benchmark.mosaic import Mosaic, lay_out
from napari_hqsam.evaluation.data import LabelledPlane, labelled_files, spread
from napari_hqsam.evaluation.detection import Cutout
from napari_hqsam.evaluation.metrics import mask_iou
from napari_hqsam.evaluation.prompting import on_one_grid, prompt_kind
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter

_POINTS = 1.0
_PROMPTS = ("box", "click")
# Smaller ones are specks of the labels.
_SMALLEST = 30


@dataclass(frozen=True)
class Pair:
    """One object, prompted twice.

    Attributes
    ----------
    alone, at_hand : float
        IoU with the truth: in its best window, and with the windows of the grid at hand.
    from_grid : bool
        Whether one of those was used.
    """

    alone: float
    at_hand: float
    from_grid: bool


def measure_seams(
    model: HQSam,
    data: Path,
    folder: Path,
    *,
    tiles: int = 3,
    mosaics: int = 1,
    objects: int = 60,
    octaves: Sequence[int] = (0,),
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Compare masks from windows encoded ahead with those from each object's best window.

    Parameters
    ----------
    model : HQSam
    data : pathlib.Path
        A data set, with `images/` and `masks/`.
    folder : pathlib.Path
        For the stores.
    tiles : int
        Images along each side of a mosaic.
    mosaics : int
        At most.
    objects : int
        Of each kind in each mosaic, at most.
    octaves : sequence of int
        As for `Segmenter.embed`.
    tell : callable
        Takes a line on what is done now.

    Raises
    ------
    HQSAMError
        If the folder is no data set.
    """
    pairs: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    planes = _planes(data, mosaics * tiles**2)
    parts = [planes[i : i + tiles**2] for i in range(0, len(planes), tiles**2)]
    for i, part in enumerate(parts, start=1):
        tell(f"mosaic {i} of {len(parts)}")
        mosaic = lay_out(part, tiles)
        for key, pair in _compare(model, mosaic, folder / f"mosaic-{i}", objects, octaves, tell):
            pairs[key].append(pair)
    setting = setting_of(model)
    setting |= {"data": data.name, "images": len(planes), "mosaics": len(parts)}
    setting["windows encoded ahead"] = ", ".join(
        f"{model.input_size * 2.0**octave:g}" for octave in octaves
    )
    return Report("seams", setting, [_figure(*key, found) for key, found in pairs.items()])


def kinds(mosaic: Mosaic, windows: Sequence[Window], input_size: int) -> dict[str, list[Cutout]]:
    """The objects that are larger than a model's input, or lie across edges of windows."""
    found: dict[str, list[Cutout]] = {"larger than a window": [], "at corners": [], "at seams": []}
    ends = mosaic.image.shape[:2]
    edges = [
        {e for w in windows for e in (w.origin[a], w.origin[a] + w.shape[a])} - {0, ends[a]}
        for a in (0, 1)
    ]
    for cutout in mosaic.objects:
        if np.count_nonzero(cutout.data) < _SMALLEST:
            continue
        y0, x0, y1, x1 = cutout.bbox
        across = any(y0 < e < y1 for e in edges[0]), any(x0 < e < x1 for e in edges[1])
        if max(cutout.data.shape) > input_size:
            found["larger than a window"].append(cutout)
        elif all(across):
            found["at corners"].append(cutout)
        elif any(across):
            found["at seams"].append(cutout)
    return found


def _planes(data: Path, count: int) -> list[LabelledPlane]:
    """So many planes of a data set, spread over its files."""
    files = labelled_files(data)
    each = -(-count // len(files))
    return [p for file in spread(files, count) for p in file.planes(each)][:count]


def _compare(
    model: HQSam,
    mosaic: Mosaic,
    store: Path,
    limit: int,
    octaves: Sequence[int],
    tell: Callable[[str], object],
) -> Iterator[tuple[tuple[str, str], Pair]]:
    limits = (0.0, 255.0)
    image, shape, rng = mosaic.image, mosaic.image.shape[:2], np.random.default_rng(0)
    with (
        Segmenter(image, axes="yxc", contrast_limits=limits, model=model) as alone,
        Segmenter(image, axes="yxc", contrast_limits=limits, model=model, store=store) as ahead,
    ):
        job = ahead.embed(octaves=octaves)
        for step in job:
            tell(f"window {step.done} of {step.total}")
        for kind, objects in kinds(mosaic, job.plan, model.input_size).items():
            chosen = spread(objects, limit)
            for name in _PROMPTS:
                tell(f"{len(chosen)} objects {kind}, {name}")
                make = prompt_kind(name).make
                prompts = [make(truth, (shape[0], shape[1]), rng) for truth in chosen]
                # the grid and its store are asked first: neither helps the other
                masks = ahead.predict_many(prompts), alone.predict_many(prompts)
                for truth, at_hand, best in zip(chosen, *masks, strict=True):
                    ious = [mask_iou(*on_one_grid(truth, m)[:2]) for m in (best, at_hand)]
                    yield (kind, name), Pair(ious[0], ious[1], at_hand.window in job.plan)


def _figure(kind: str, prompt: str, pairs: Sequence[Pair]) -> Figure:
    alone, at_hand, grid = np.array([(p.alone, p.at_hand, p.from_grid) for p in pairs], float).T
    error = 100 * (alone - at_hand).std() / np.sqrt(len(pairs))
    return Figure(
        f"IoU lost by objects {kind}, {prompt}",
        float(100 * (alone - at_hand).mean()),
        "points",
        _POINTS,
        f"± {error:.1f}; {100 * alone.mean():.1f} alone, {100 * at_hand.mean():.1f} with windows "
        f"at hand; {len(pairs)} objects, {grid.mean():.0%} seen in such a window",
    )
