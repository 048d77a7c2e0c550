"""The job that follows objects and writes their labels."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hqsam import __version__
from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.job import Job, Progress
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import GivenLabels
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.pyramid import Box, tiles
from napari_hqsam.segmentation.automatic.identity import identity
from napari_hqsam.segmentation.blocks import Block, blocks_of
from napari_hqsam.segmentation.output import BLOCK, Output
from napari_hqsam.segmentation.volume.course import Course
from napari_hqsam.segmentation.volume.propagation import Propagation, check_seeds
from napari_hqsam.segmentation.volume.settings import PropagateSettings
from napari_hqsam.segmentation.volume.slice_mask import SliceMask
from napari_hqsam.storage import crc32c

if TYPE_CHECKING:
    from collections.abc import Generator

    import pandas as pd

_SEEDS, _FINISH = "seeds", "finish"
_COLUMNS = ("label", "position", "y", "x", "area", "score")


class PropagateJob(Job[Any, Any]):
    """Labels of objects that are followed from slice to slice.

    Iterate it for progress, or ask for its `result`: an array of ``frame.shape``, or a
    `LabelStore` if it goes to disk. There the same call goes on after it was stopped or killed,
    and the labels are those of a run without a break.

    Attributes
    ----------
    frame : LabelFrame
        Axes, shape and pixel sizes of the labels.
    course : Course
    """

    def __init__(
        self,
        propagation: Propagation,
        seeds: Mapping[int, Sequence[SliceMask]],
        output: Output,
        existing: GivenLabels | None,
    ) -> None:
        self.frame, self.course = output.frame, propagation.course
        self._output, self._seeds, self._existing = output, seeds, existing
        self._found = iter(propagation)
        self._rows: list[tuple[Any, ...]] = []
        wide = max(seeds) >= 2**32 or (existing is not None and existing.dtype.itemsize > 4)
        self._dtype = np.uint64 if wide else np.uint32
        self._count = propagation.total
        blocks = [] if existing is None else [Block(*each) for each in blocks_of(self.frame)]
        plan = [*blocks, _SEEDS, *range(self._count), _FINISH]
        super().__init__(plan, self._run, self._is_there, output.result)

    @property
    def labels(self) -> LabelArray | None:
        """What is written so far; None until there is something."""
        return self._output.labels

    @property
    def table(self) -> pd.DataFrame:
        """One row for each object and slice so far.

        Columns: label, position, y and x of the centroid in pixels, area in pixels, and score,
        which is NaN for a seed.
        """
        import pandas as pd

        rows = sorted(self._rows, key=lambda row: row[:2])
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def _is_there(self, item: Any) -> bool:
        return isinstance(item, Block) and self._output.holds(item.plane, item.box)

    def _run(self, item: Any) -> None:
        self._output.begin(self._dtype, max(self._seeds))
        if isinstance(item, Block):
            assert self._existing is not None
            at = self.frame.plane(item.plane)
            self._output.write(item.plane, item.box, self._existing.read(at, item.box))
        elif item == _SEEDS:
            for several in self._seeds.values():
                self._draw(several)
        elif item == _FINISH:
            for masks in self._found:
                self._draw(masks)
            self._output.finish()
        else:
            self._draw(next(self._found, []))

    def _draw(self, masks: Sequence[SliceMask]) -> None:
        """Write masks, where no other object is; what is there already stays the same."""
        blocks: dict[tuple[int, int, int], list[tuple[SliceMask, Box]]] = defaultdict(list)
        for mask in masks:
            for box in tiles(mask.bbox, (BLOCK, BLOCK)):
                blocks[mask.position, box[0] // BLOCK, box[1] // BLOCK].append((mask, box))
            y, x = mask.centroid
            score = np.nan if mask.score is None else mask.score
            self._rows.append((mask.label, mask.position, y, x, mask.area, score))
        for (position, *_), parts in blocks.items():
            self._write(position, parts)

    def _write(self, position: int, parts: Sequence[tuple[SliceMask, Box]]) -> None:
        """Write parts of masks in a block of a slice at once: a store is slow with few pixels."""
        ends = np.array([box for _, box in parts])
        (y0, x0), (y1, x1) = ends[:, :2].min(axis=0).tolist(), ends[:, 2:].max(axis=0).tolist()
        box = (y0, x0, y1, x1)
        labels = self._output.labels
        assert labels is not None
        at = self.frame.plane(self.course.plane(position))
        old = labels.read(at, box)
        new = old.copy()
        for mask, _ in parts:
            new[mask.on(box) & ((old == 0) | (old == mask.label))] = mask.label
        if (changed := new != old).any():
            self._output.draw(at, box, new, changed)

    def _progress(self) -> Generator[Progress, None, None]:
        """As of any job; steps have a pace of their own."""
        spent, run, skipped = 0.0, 0, 0
        for i, item in enumerate(self.plan):
            if self._is_there(item):
                skipped += 1
            else:
                began = monotonic()
                self._run(item)
                if isinstance(item, int):
                    spent, run = spent + monotonic() - began, run + 1
            seconds = spent / run * (self._count - run) if run else float("nan")
            yield Progress(i + 1, len(self.plan), skipped, seconds, self._output.bytes)


def propagate_job(
    features: Features,
    level: int,
    course: Course,
    seeds: Mapping[int, Sequence[SliceMask]],
    settings: PropagateSettings,
    *,
    existing: GivenLabels | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> PropagateJob:
    """A job that gives the labels of objects that are followed.

    Parameters
    ----------
    features, level, course, seeds, settings
        As for `Propagation`.
    existing : GivenLabels, optional
        What keeps its pixels, and is part of the result.
    out, overwrite
        As for `label_job`.
    """
    frame = LabelFrame.of(features.source, level)
    about: dict[str, Any] = {
        "version": __version__,
        "propagate": asdict(settings),
        **identity(features, level),
        "course": asdict(course),
        "seeds": _checksum(seeds),
        "existing": existing and existing.dtype.str,
    }
    check_seeds(seeds, course)  # before anything is written
    output = Output(frame, out, overwrite=overwrite, settings=about)
    work = None if out is None else output.work
    propagation = Propagation(features, level, course, seeds, settings, work=work)
    return PropagateJob(propagation, seeds, output, existing)


def _checksum(seeds: Mapping[int, Sequence[SliceMask]]) -> list[int]:
    found = 0
    for several in seeds.values():
        for seed in several:
            for array in seed.scored(None).packed().values():
                found = (found * 31 + crc32c(np.ascontiguousarray(array).tobytes())) % 2**32
    return [len(seeds), found]
