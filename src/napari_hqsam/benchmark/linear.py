"""Whether a job over very many windows stays linear, when finding objects costs next to nothing."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clock import seconds_of
from napari_hqsam.benchmark.figures import Cell, Figure, Table
from napari_hqsam.benchmark.memory import PeakMemory
from napari_hqsam.images.windows import Window, grid
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.pyramid import Box, Plane, tiles
from napari_hqsam.segmentation.stitch import Instances
from napari_hqsam.segmentation.whole import label_job

WINDOWS = (1_000, 3_000, 10_000)
COLUMNS = (
    "windows",
    "objects",
    "s",
    "ms per window",
    "finding",
    "linking",
    "drawing",
    "MB",
)

_SIDE = 256
_OVERLAP = 0.25
# Discs lie one in each cell of a lattice, so far from its middle that none meets another.
_CELL, _JITTER = 64, 16
_RADII = (6, 14)
# Where they lie repeats itself after so many cells.
_PERIOD = 61
_READ = 4096
# A window of the largest run may take so many times as long as one of the smallest.
_RATIO = 1.3


@dataclass(frozen=True)
class Discs:
    """A `Finder` of discs that are nowhere but in its memory.

    Every window that shows a part of a disc finds that part of the same disc.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the plane.
    side : int
        Of a window; neighbours share a quarter.
    """

    shape: tuple[int, int]
    side: int = _SIDE

    @classmethod
    def of_windows(cls, count: int, side: int = _SIDE) -> Discs:
        """The plane of about so many windows, as square as can be."""
        rows = max(d for d in range(1, math.isqrt(count) + 1) if count % d == 0)
        step = round(side * (1 - _OVERLAP))
        height, width = (step * (n - 1) + side for n in (rows, count // rows))
        return cls((height, width), side)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the discs depend on."""
        return {"discs": [*self.shape, self.side]}

    @cached_property
    def count(self) -> int:
        """How many there are."""
        cells = [np.arange(n // _CELL) for n in self.shape]
        return len(self._discs(*cells))

    def windows(self, planes: Sequence[Plane], region: Box | None) -> list[Window]:
        """As of a grid at full resolution."""
        return [
            window
            for plane in planes
            for window in grid(self.shape, self.side, overlap=_OVERLAP, plane=plane, region=region)
        ]

    def find(self, window: Window) -> Instances:
        """The discs that the window shows."""
        (y, x), (h, w) = window.origin, window.shape
        cells = [
            np.arange(max(0, (o - _CELL) // _CELL), min(n // _CELL, (o + length) // _CELL + 1))
            for o, n, length in ((y, self.shape[0], h), (x, self.shape[1], w))
        ]
        masks = []
        for cy, cx, r in self._discs(*cells).tolist():
            box = (cy - r, cx - r, cy + r + 1, cx + r + 1)
            if box[0] < y + h and box[2] > y and box[1] < x + w and box[3] > x:
                masks.append((_DISCS[r], box))
        scores = np.ones(len(masks), np.float32)
        return Instances.of(window.plane, (y, x, y + h, x + w), masks, scores)

    def _discs(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.int64]:
        """Of some cells the discs (n, 3) that lie inside the plane: middle and radius."""
        row, column = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
        dy, dx, radius = _LATTICE[row % _PERIOD, column % _PERIOD].T
        y, x = (c * _CELL + _CELL // 2 + d for c, d in ((row, dy), (column, dx)))
        inside = (y + radius < self.shape[0]) & (x + radius < self.shape[1])
        return np.stack([y, x, radius], axis=1)[inside]


def measure_linear(
    folder: Path,
    windows: Sequence[int] = WINDOWS,
    *,
    side: int = _SIDE,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Figure], Table]:
    """Find, link and draw discs in planes of more and more windows, into labels on disk.

    Parameters
    ----------
    folder : pathlib.Path
        Empty; the labels are made in it.
    windows : sequence of int
        How many, the fewest first.
    side : int
        Of a window in pixels.
    tell : callable
        Takes a line on what is done now.
    """
    _run(Discs.of_windows(4, side), folder / "first.zarr", tell)  # what is imported, is now
    runs = [_run(Discs.of_windows(n, side), folder / f"{n}.zarr", tell) for n in windows]
    return list(_figures(runs)), Table("very many windows", COLUMNS, [run.row for run in runs])


@dataclass(frozen=True)
class _Run:
    """Of one plane.

    `seconds` are those of each step, see `seconds_of`, and `bytes` the most memory held.
    """

    windows: int
    objects: int
    expected: int
    seconds: Mapping[str, float]
    bytes: int

    def each(self, *steps: str) -> float:
        """Milliseconds per window of some steps, by default all."""
        spent = [self.seconds[step] for step in steps or self.seconds]
        return 1e3 * sum(spent) / self.windows

    @property
    def row(self) -> tuple[Cell, ...]:
        """In the order of `COLUMNS`."""
        times = (self.each(), *(self.each(step) for step in ("finding", "linking", "drawing")))
        return self.windows, self.objects, sum(self.seconds.values()), *times, self.bytes / 1e6


def _run(discs: Discs, out: Path, tell: Callable[[str], object]) -> _Run:
    frame = LabelFrame(Grid("yx", discs.shape, name="discs"), ())
    windows = len(discs.windows([()], None))
    gc.collect()
    with PeakMemory() as memory:
        job = label_job(discs, frame, out=out)
        spent = seconds_of(job, lambda line: tell(f"{windows:,} windows: {line}"))
    store, found = job.result(), set[int]()
    for box in tiles((0, 0, *discs.shape), (_READ, _READ)):
        found.update(np.unique(store.read((), *box)).tolist())
    return _Run(windows, len(found - {0}), discs.count, spent, memory.peak - memory.before)


def _figures(runs: Sequence[_Run]) -> Iterator[Figure]:
    few, many = runs[0], runs[-1]
    yield Figure(
        f"{many.windows:,} windows, each against one of {few.windows:,}",
        many.each() / few.each(),
        "",
        _RATIO,
        f"{many.each():.2f} and {few.each():.2f} ms",
    )
    yield Figure(
        f"{many.windows:,} windows: linking and drawing a window",
        many.each("linking", "drawing"),
        "ms",
        about=f"linking {many.each('linking'):.2f} ms of it; {_SIDE} x {_SIDE} pixels",
    )
    yield Figure(f"{many.windows:,} windows: memory", many.bytes / 1e6, "MB", about="at most")
    yield Figure(
        "every disc is one object", all(run.objects == run.expected for run in runs), "", True
    )


def _lattice() -> NDArray[np.int64]:
    """(period, period, 3): how far each disc lies from the middle of its cell, and its radius."""
    rng = np.random.default_rng(0)
    shape = (_PERIOD, _PERIOD)
    offsets = [rng.integers(-_JITTER, _JITTER + 1, shape) for _ in range(2)]
    return np.stack([*offsets, rng.integers(_RADII[0], _RADII[1] + 1, shape)], axis=-1)


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y**2 + x**2 <= radius**2)


_LATTICE = _lattice()
_DISCS = {radius: _disc(radius) for radius in range(_RADII[0], _RADII[1] + 1)}
