"""Stands in for the jobs of `Segmenter`: every label grows by one pixel, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.segmentation import expand_labels

from napari_hqsam.embedding.job import Job
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.labels.label_array import StoreLabels
from napari_hqsam.labels.pyramid import tiles
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.storage.work import Work

SIDE = 32


@dataclass
class FakeJobs:
    """What the methods of `Segmenter` were called with, and what they do.

    Attributes
    ----------
    calls : list of (prompts or labels, options)
    blocks : list of (plane, box)
        That were computed, in all jobs.
    fault : callable
        Called before each block.
    """

    calls: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    blocks: list[Any] = field(default_factory=list)
    fault: Callable[[int], None] = lambda n: None

    def refine(self, segmenter: Segmenter, labels: Any, **options: Any) -> Job[Any, LabelStore]:
        self.calls.append((labels, options))
        frame = LabelFrame.of(segmenter.source, segmenter.level)
        given = as_label_array(labels, frame)

        def grown(plane: Sequence[int], box: tuple[int, int, int, int]) -> Any:
            y0, x0, y1, x1 = box
            outer = (
                max(y0 - 1, 0),
                max(x0 - 1, 0),
                *np.minimum((y1 + 1, x1 + 1), frame.plane_shape),
            )
            pixels = expand_labels(given.read(frame.plane(plane), outer), 1)
            return pixels[y0 - outer[0] :, x0 - outer[1] :][: y1 - y0, : x1 - x0]

        return self._job(frame, options, grown)

    def segment_all(
        self, segmenter: Segmenter, prompts: Any = "grid", **options: Any
    ) -> Job[Any, LabelStore]:
        self.calls.append((prompts, options))
        frame = LabelFrame.of(segmenter.source, segmenter.level)

        def rows(plane: Sequence[int], box: tuple[int, int, int, int]) -> Any:
            y = np.arange(box[0], box[2])[:, None] // 10
            return np.where(y % 2, y, 0) * np.ones(box[3] - box[1], np.uint32)

        return self._job(frame, options, rows)

    def _job(self, frame: LabelFrame, options: dict[str, Any], pixels: Any) -> Job[Any, LabelStore]:
        out: Path = options["out"]
        assert not options.get("overwrite")
        work = Work.open(out.with_name(f"{out.name}.job"), {"fake": 1})
        if not out.exists():
            of = {"axes": frame.axes, "scale": frame.scale, "units": frame.units}
            LabelStore.create(out, frame.shape, dtype="uint64", **of)
        store = LabelStore.open(out)
        planes = options["planes"]
        plan = [
            (plane, box)
            for plane in (frame.planes() if planes is None else planes)
            for box in tiles(options["region"] or (0, 0, *frame.plane_shape), (SIDE, SIDE))
        ]

        def run(item: Any) -> None:
            self.fault(len(self.blocks))
            plane, box = item
            block = np.asarray(pixels(plane, box), store.dtype)
            where = np.ones(block.shape, bool)
            StoreLabels(store).write(frame.plane(plane), box[0], box[1], block, where)
            work.mark(str(item))
            self.blocks.append(item)

        def result() -> LabelStore:
            work.remove()
            return store

        return Job(plan, run, lambda item: str(item) in work, result)


def replace_jobs(monkeypatch: pytest.MonkeyPatch) -> FakeJobs:
    jobs = FakeJobs()
    for name in ("refine", "segment_all"):
        method = getattr(jobs, name)

        def call(self: Segmenter, *given: Any, _method: Any = method, **options: Any) -> Any:
            return _method(self, *given, **options)

        monkeypatch.setattr(Segmenter, name, call, raising=False)
    return jobs
