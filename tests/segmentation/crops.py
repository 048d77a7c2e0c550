"""A finder that cuts its objects from a label image, and a job with it.

Run as a program it begins that job whenever it is told to, so that tests can kill it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.images.windows import Window, grid
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.grid import Grid
from napari_hqsam.segmentation.stitch import Instances
from napari_hqsam.segmentation.whole import LabelJob, label_job

SHAPE = (2500, 1100)


@cache
def picture() -> np.ndarray:
    """Discs of many sizes, and a bar over everything; numbered in the order of their pixels."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint32)
    y, x = np.ogrid[-40:41, -40:41]
    count = 0
    for cy in range(60, SHAPE[0] - 60, 90):
        for cx in range(60, SHAPE[1] - 120, 90):
            count += 1
            part = labels[cy - 40 : cy + 41, cx - 40 : cx + 41]
            part[y**2 + x**2 <= rng.integers(3, 40) ** 2] = count
    labels[30:-30, -40:-30] = count + 1
    values, first = np.unique(labels, return_index=True)
    number = np.zeros(count + 2, np.uint32)
    number[values[1:][np.argsort(first[1:])]] = np.arange(1, len(values))
    return number[labels]


@dataclass
class Crops:
    """Finds in each window what `labels` (..., h, w) has there.

    Attributes
    ----------
    found : list of Window
        In the order in which they were searched.
    """

    labels: np.ndarray
    side: int = 512
    settings: Mapping[str, Any] = field(default_factory=lambda: {"side": 512})
    pause: float = 0.0
    found: list[Window] = field(default_factory=list)

    def windows(self, planes: Sequence[Any], region: Any) -> list[Window]:
        shape = self.labels.shape[-2:]
        return [w for p in planes for w in grid(shape, self.side, plane=p, region=region)]

    def find(self, window: Window) -> Instances:
        self.found.append(window)
        time.sleep(self.pause)
        (y, x), (h, w) = window.origin, window.shape
        part = self.labels[window.plane][y : y + h, x : x + w]
        return Instances.of_labels(window.plane, (y, x, y + h, x + w), part)


def frame_of(labels: np.ndarray) -> LabelFrame:
    axes = {2: "yx", 3: "zyx", 4: "tzyx"}[labels.ndim]
    return LabelFrame(Grid(axes, labels.shape), tuple(range(labels.ndim - 2)))


def begin(out: Path | None, finder: Crops | None = None, **options: Any) -> LabelJob:
    finder = finder or Crops(picture())
    return label_job(finder, frame_of(finder.labels), out=out, **options)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


if __name__ == "__main__":
    picture()
    print("ready", flush=True)
    for line in sys.stdin:
        for step in begin(Path(line.strip()), Crops(picture(), pause=0.005)):
            print(step.done, flush=True)
