"""What following objects through a stack costs: the network, memory, and what batches save."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.counting import Counts, counting
from napari_hqsam.benchmark.figures import Figure, median
from napari_hqsam.benchmark.instant import Instant
from napari_hqsam.benchmark.memory import PeakMemory
from napari_hqsam.embedding.cache import FeatureCache
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Prompts, Segmenter
from napari_hqsam.segmentation.volume import Course, PropagateSettings, Propagation, SliceMask

# Each disc has a cell of its own, in which it sways from slice to slice.
_CELL, _RADIUS, _SWAY, _TURN = 64, 20, 6, 24
_DARK, _BRIGHT = 40, 210
# So many windows of `micro` are in the memory for features.
_WINDOWS = 170
# What a further slice may take in memory, in MB: a hundred masks of it, not their logits.
_MB_A_SLICE = 1.0
_MMAP_THRESHOLD = -3  # of glibc's mallopt


def swaying_discs(objects: int, slices: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A stack in which discs sway from side to side, and where they are.

    Returns
    -------
    ndarray of uint8
        (Z, Y, X), as square as can be.
    ndarray
        (objects, slices, 2): y and x of their middles.
    """
    rows = max(d for d in range(1, int(objects**0.5) + 1) if objects % d == 0)
    cells = np.indices((rows, objects // rows)).reshape(2, -1).T
    phase = 2 * np.pi * (np.arange(slices) / _TURN + np.arange(objects)[:, None] / 7)
    sway = _SWAY * np.stack([np.sin(phase), np.cos(phase)], axis=-1)
    middles = (cells[:, None] + 0.5) * _CELL + sway
    image = np.full((slices, rows * _CELL, objects // rows * _CELL), _DARK, np.uint8)
    for z in range(slices):
        for y, x in middles[:, z]:
            (y0, x0), disc = _disc(y, x)
            image[z, y0 : y0 + len(disc), x0 : x0 + len(disc)][disc] = _BRIGHT
    return image, middles


def measure_cost(
    model: HQSam,
    folder: Path,
    *,
    objects: int = 100,
    slices: int = 100,
    batch: tuple[int, int] = (16, 8),
    rounds: int = 3,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Figure]:
    """Follow discs through stacks.

    Parameters
    ----------
    model : HQSam
        What batches save depends on it; everything else is measured with `Instant`.
    folder : pathlib.Path
        Empty; labels are written to it.
    objects, slices : int
        Of the stack that is counted.
    batch : (int, int)
        Objects and slices that are followed together and one by one.
    rounds : int
        How often, in turn.
    tell : callable
        Takes a line on what is done now.
    """
    fewer = max(2, slices // 4)
    figures = list(_batched(model, *batch, rounds, tell))
    _follow(2, 2, folder / "first.zarr", tell)  # what is imported, is now
    timed = _follow(objects, fewer, folder / "timed.zarr", tell)
    _give_back_at_once()  # which takes time
    few = _follow(objects, fewer, folder / "few.zarr", tell)
    many = _follow(objects, slices, folder / "many.zarr", tell)
    return [*_counted(few, many), _time_beside(timed), *figures]


@dataclass(frozen=True)
class _Run:
    """Discs followed through one stack; `bytes` is the most memory that it took."""

    objects: int
    slices: int
    masks: int
    counts: Counts
    bytes: int
    seconds: float


def _follow(objects: int, slices: int, out: Path, tell: Callable[[str], object]) -> _Run:
    image, middles = swaying_discs(objects, slices)
    at, model = slices // 2, Instant()
    seeds = {(at,): [Prompts(box=_box(*middles[i, at])) for i in range(objects)]}
    done: list[int] = []
    with Segmenter(image, axes="zyx", contrast_limits=(0, 255), model=model) as segmenter:
        side = model.input_size // model.mask_stride
        cache = FeatureCache(_WINDOWS * 4 * (32 * side**2 + 256 * (side // 4) ** 2))
        gc.collect()
        with counting(segmenter, cache) as counts, PeakMemory() as memory:

            def run() -> None:
                with segmenter.propagate(seeds, out=out) as job:
                    for step in job:
                        tell(f"{objects} objects, {slices} slices: {step.done} of {step.total}")
                    done.append(len(job.table))

            took = seconds(run)
    return _Run(objects, slices, done[0], counts, memory.peak - memory.before, took)


def _counted(few: _Run, many: _Run) -> Iterator[Figure]:
    about = f"{many.objects} objects x {many.slices} slices"
    counts = many.counts
    yield Figure(
        "every object is followed to both ends", many.masks == many.objects * many.slices, "", True
    )
    yield Figure(
        "windows encoded, of those that were needed",
        counts.encoded / max(len(counts.windows), 1),
        "",
        1.0,
        f"{counts.encoded:,} of {len(counts.windows):,}; {about}",
    )
    yield Figure(
        "decodings for an object on a slice",
        counts.decoded / max(many.masks, 1),
        "",
        1.0,
        f"{counts.decoded:,} in {counts.calls:,} batches; {about}",
    )
    yield Figure("memory", many.bytes / 1e6, "MB", about=f"at most; {about}, labels on disk")
    yield Figure(
        "memory that a further slice takes",
        max(0.0, (many.bytes - few.bytes) / 1e6 / (many.slices - few.slices)),
        "MB",
        _MB_A_SLICE,
        f"{few.bytes / 1e6:.0f} MB for {few.slices} slices; {many.objects} objects",
    )


def _time_beside(run: _Run) -> Figure:
    each = 1e3 * run.seconds / max(run.masks, 1)
    about = f"{run.objects} objects x {run.slices} slices, with a network that takes no time"
    return Figure("time beside the network, for an object on a slice", each, "ms", about=about)


def _batched(
    model: HQSam, objects: int, slices: int, rounds: int, tell: Callable[[str], object]
) -> Iterator[Figure]:
    """Objects together and one by one, in turn, when their windows are encoded already."""
    image, middles = swaying_discs(objects, slices)
    at = slices // 2
    seeds: dict[int, Sequence[SliceMask]] = {}
    for i in range(objects):
        (y0, x0), disc = _disc(*middles[i, at])
        seeds[i + 1] = [SliceMask(i + 1, at, disc, (y0, x0, y0 + len(disc), x0 + len(disc)))]
    with Segmenter(image, axes="zyx", contrast_limits=(0, 255), model=model) as segmenter:
        course = Course.of(segmenter.source, "z")

        settings = PropagateSettings(min_score=0.0)

        def walk(several: Mapping[int, Sequence[SliceMask]]) -> None:
            for _ in Propagation(segmenter.features, segmenter.level, course, several, settings):
                pass

        def together() -> None:
            walk(seeds)

        def alone() -> None:
            for label, seed in seeds.items():
                walk({label: seed})

        tell(f"{model.name}: encoding for {objects} objects")
        with counting(segmenter) as counts:
            together()
        alone()
        times = []
        for i in range(rounds):
            tell(f"{model.name}: {objects} objects together and one by one, {i + 1} of {rounds}")
            times.append((seconds(together), seconds(alone)))
    each = [1e3 * median([t[k] for t in times]) / (objects * (slices - 1)) for k in (0, 1)]
    about = f"{each[1]:.1f} against {each[0]:.1f} ms for an object on a slice, median of {rounds}"
    size = counts.decoded / max(counts.calls, 1)
    about += f"; {size:.1f} in a batch, {len(counts.windows)} windows"
    yield Figure(
        f"{objects} objects one by one, against together",
        median([b / a for a, b in times]),
        "times the time",
        about=about,
    )


def _give_back_at_once() -> None:
    """Have arrays leave the process when they are freed, so that what it holds is what it needs."""
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not every libc has it
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 1 << 18)


def _disc(y: float, x: float) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Where the box of a disc begins, and its pixels in that."""
    y0, x0 = int(np.ceil(y - _RADIUS)), int(np.ceil(x - _RADIUS))
    side = np.arange(2 * _RADIUS)
    dy, dx = side[:, None] + y0 - y, side[None] + x0 - x
    disc = dy**2 + dx**2 <= _RADIUS**2
    return (y0, x0), np.asarray(disc)


def _box(y: float, x: float) -> tuple[float, float, float, float]:
    """The outermost pixels of a disc."""
    (y0, x0), disc = _disc(y, x)
    rows, columns = (np.flatnonzero(disc.any(axis=a)) for a in (1, 0))
    return y0 + rows[0], x0 + columns[0], y0 + rows[-1], x0 + columns[-1]
