"""How well objects of labelled stacks are followed from one box, beside simpler ways."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.figures import Cell, Figure, Table
from napari_hqsam.benchmark.volume_data import Chosen, LabelledStack, chosen_objects, followable
from napari_hqsam.benchmark.volume_masks import (
    NOTHING,
    Slices,
    ends,
    error,
    masks_of,
    mean_boundary_iou,
    volume_iou,
)
from napari_hqsam.evaluation.detection import Cutout, Located
from napari_hqsam.evaluation.prompting import correction_click
from napari_hqsam.labels.pixels import MEMORY_BYTES
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Mask, Segmenter

METHODS = ("propagate", "ends given", "same box", "copied", "oracle", "one click")
"""Ways to a mask on every slice of an object, from one exact box on its middle slice.

propagate  `Segmenter.propagate` of that mask, which has to find the object's ends by itself.
ends given The same, told on which slices the object truly is, and that no score ends it.
same box   The same box on every slice on which the object truly is.
copied     The mask of the middle slice on every slice on which the object truly is.
oracle     The exact box of every slice, which only the truth knows.
one click  propagate again, after a click in the largest error of its worst slice.
"""

COLUMNS = (
    "stack",
    "in training",
    "objects",
    "of",
    "slices",
    *METHODS,
    "of oracle",
    "mBIoU",
    "oracle's",
    "past",
    "short",
    "s",
)

# Of the boundary region, in pixels.
_WIDTH = 2
# Of the oracle's IoU, in percent.
_SHARE = 85.0


@dataclass(frozen=True)
class Trial:
    """One object, followed in all ways.

    Attributes
    ----------
    label, slices : int
        Its number, and from its first to its last slice.
    ious : dict of str to float
        IoU in three dimensions, by method.
    boundary : dict of str to float
        Mean boundary IoU of the slices, of "propagate" and "oracle".
    past, short : int
        Slices by which "propagate" goes past the object's ends, or falls short of them.
    seconds : float
        Of "propagate".
    """

    label: int
    slices: int
    ious: dict[str, float]
    boundary: dict[str, float]
    past: int
    short: int
    seconds: float


def measure_quality(
    model: HQSam,
    stacks: Iterable[LabelledStack],
    folder: Path,
    *,
    objects: int = 12,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Figure], Table]:
    """Follow some objects of each stack, in all ways.

    Parameters
    ----------
    model : HQSam
    stacks : iterable of LabelledStack
        Those without an object that can be followed are passed over.
    folder : pathlib.Path
        For labels that are too large for memory.
    objects : int
        Of a stack, at most.
    tell : callable
        Takes a line on what is done now.
    """
    table, figures = Table("objects followed", COLUMNS), []
    every: list[Trial] = []
    for stack in stacks:
        trials = list(follow_stack(model, stack, folder, objects, tell))
        if trials:
            table.rows.append(_row(stack, trials))
            figures.append(_share(stack.name, trials))
            every += trials
    if len(table.rows) > 1:
        figures.append(_share("all objects", every))
    if every:
        given = 100 * _of_oracle(every, "ends given")
        figures.append(Figure("with their ends given, of the oracle's", given, "%"))
        gain = 100 * (_mean(every, "one click") - _mean(every, "propagate"))
        figures.append(Figure("one click adds", gain, "points", about="of IoU, all objects"))
    return figures, table


def follow_stack(
    model: HQSam,
    stack: LabelledStack,
    folder: Path,
    objects: int = 12,
    tell: Callable[[str], object] = lambda _: None,
) -> Iterator[Trial]:
    """Follow some objects of one stack, each by itself; see `measure_quality`."""
    chosen = chosen_objects(stack.labels, objects)
    with Segmenter(stack.image, axes=stack.axes, scale=stack.scale, model=model) as segmenter:
        for i, each in enumerate(chosen, start=1):
            tell(f"{stack.name}: object {i} of {len(chosen)}")
            yield _Follower(segmenter, folder).follow(stack, each)


@dataclass(frozen=True)
class _Follower:
    """Follows an object of the image of a Segmenter."""

    segmenter: Segmenter
    folder: Path

    def follow(self, stack: LabelledStack, chosen: Chosen) -> Trial:
        label, middle, first, last = chosen
        within = range(first, last + 1)
        truth = masks_of(stack.labels, label, within)
        seed = self._box(truth[middle], middle)
        found: dict[str, Slices] = {
            "same box": {z: self._box(truth[middle], z) for z in within},
            "copied": dict.fromkeys(within, seed),
            "oracle": {z: self._box(mask, z) for z, mask in truth.items()},
        }
        done: list[Slices] = []
        took = seconds(lambda: done.append(self._propagate([seed])))
        found["propagate"] = done[0]
        found["ends given"] = self._propagate([seed], start=first, stop=last + 1, min_score=0)
        found["one click"] = self._corrected(seed, middle, truth, done[0], within)
        past, short = ends(truth, found["propagate"])
        return Trial(
            label,
            len(within),
            {name: volume_iou(truth, found[name]) for name in METHODS},
            {n: mean_boundary_iou(truth, found[n], _WIDTH) for n in ("propagate", "oracle")},
            past,
            short,
            took,
        )

    def _box(self, truth: Located, z: int) -> Mask:
        """The mask of the exact box of another on a slice."""
        y0, x0, y1, x1 = truth.bbox
        return self.segmenter.predict(box=(y0, x0, y1 - 1, x1 - 1), plane=(z,))

    def _propagate(self, seeds: Sequence[Mask], **settings: Any) -> dict[int, Cutout]:
        seeds = [seed for seed in seeds if seed.area]
        if not seeds:
            return {}
        shape = (*self.segmenter.source.plane_shape, *self.segmenter.plane_shape)
        large = math.prod(shape) * np.dtype(np.uint32).itemsize > MEMORY_BYTES
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            out = Path(place) / "labels.zarr" if large else None
            with self.segmenter.propagate({1: seeds}, out=out, **settings) as job:
                made = job.result()
            return masks_of(made.levels[0] if large else made, 1)

    def _corrected(
        self, seed: Mask, middle: int, truth: Slices, found: Slices, within: range
    ) -> Slices:
        """What is found after one click, in the middle of the largest error of the worst slice."""
        worst = max(within, key=lambda z: error(truth, found, z))
        there = found.get(worst, NOTHING)
        click = correction_click(truth.get(worst, NOTHING), there, np.empty((0, 2)))
        if click is None:
            return found
        if worst == middle:
            return self._propagate([self._clicked(worst, click, seed, seed)])
        return self._propagate([seed, self._clicked(worst, click, there, None)])

    def _clicked(
        self, z: int, click: tuple[tuple[int, int], int], there: Located, seed: Mask | None
    ) -> Mask:
        """A mask of a slice after a click: one that was predicted, or that propagation made."""
        at, sign = click
        given: dict[str, Any] = {"plane": (z,)}
        if seed is not None and seed.prompts is not None:
            given |= {"box": seed.prompts.box, "previous": seed}
        elif there.data.any():
            given |= {"mask": there.data, "mask_origin": there.bbox[:2]}
            given["previous"] = self.segmenter.predict(**given)
        return self.segmenter.predict(points=[at], labels=[sign], **given)


def _row(stack: LabelledStack, trials: Sequence[Trial]) -> tuple[Cell, ...]:
    """In the order of `COLUMNS`."""
    means = [_mean(trials, name) for name in METHODS]
    boundary = [float(np.mean([t.boundary[n] for t in trials])) for n in ("propagate", "oracle")]
    rest = np.mean([(t.past, t.short, t.seconds) for t in trials], axis=0)
    return (
        stack.name,
        stack.trained,
        len(trials),
        len(followable(stack.labels)),
        float(np.mean([t.slices for t in trials])),
        *means,
        _of_oracle(trials),
        *boundary,
        *rest.tolist(),
    )


def _share(name: str, trials: Sequence[Trial]) -> Figure:
    about = f"{_mean(trials, 'propagate'):.3f} of {_mean(trials, 'oracle'):.3f}"
    about += f"; {len(trials)} objects, one box each"
    value = 100 * _of_oracle(trials)
    return Figure(f"{name}: IoU, of the oracle's", value, "%", _SHARE, about, True)


def _of_oracle(trials: Sequence[Trial], method: str = "propagate") -> float:
    oracle = _mean(trials, "oracle")
    return _mean(trials, method) / oracle if oracle else float("nan")


def _mean(trials: Sequence[Trial], method: str) -> float:
    return float(np.mean([t.ious[method] for t in trials]))
