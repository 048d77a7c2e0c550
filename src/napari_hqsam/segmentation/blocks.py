"""Labels as a job that writes them block by block, and goes on after it was stopped or killed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_hqsam import __version__
from napari_hqsam.embedding.job import Job, Progress
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.pyramid import Box, Plane, tiles
from napari_hqsam.segmentation.output import BLOCK, Output
from napari_hqsam.segmentation.region import Region

_FINISH = "finish"


@dataclass(frozen=True)
class Block:
    """A box of one plane, as the image counts it, that is written at once."""

    plane: Plane
    box: Box


class LabelJob(Job[Any, Any]):
    """Labels that are written block by block.

    Iterate it for progress, or ask for its `result`: an array of ``frame.shape``, or a
    `LabelStore` if it goes to disk. There it is resumed by the same call after it was stopped or
    killed, and the labels are those of a run without a break, to the bit.

    Parameters
    ----------
    output : Output
    blocks : sequence of Block
    compute : callable
        The labels (h, w) of a block, from its plane and box.
    dtype : dtype
        Of the labels; None if `before` finds out.
    before : sequence
        Items that come before the blocks; a subclass knows how to run them.

    Attributes
    ----------
    frame : LabelFrame
        Axes, shape and pixel sizes of the labels.
    """

    def __init__(
        self,
        output: Output,
        blocks: Sequence[Block],
        compute: Callable[[Plane, Box], NDArray[Any]],
        *,
        dtype: DTypeLike | None = None,
        before: Sequence[Any] = (),
    ) -> None:
        self.frame = output.frame
        self._output, self._compute, self._dtype = output, compute, dtype
        plan = [*before, *blocks, _FINISH]
        super().__init__(plan, self._run, self._is_there, output.result)

    @property
    def labels(self) -> LabelArray | None:
        """What is written so far; None until the first block."""
        return self._output.labels

    def preview(self, plane: Sequence[int], box: Sequence[int]) -> NDArray[Any]:
        """The labels (h, w) of a box of a plane, computed now; nothing is committed.

        Parameters
        ----------
        plane : sequence of int
        box : (y0, x0, y1, x1)
            Half-open, in pixels.
        """
        y0, x0, y1, x1 = (int(v) for v in box)
        return self._compute(tuple(plane), (y0, x0, y1, x1))

    def _begin(self) -> None:
        self._output.begin(np.uint32 if self._dtype is None else self._dtype)

    def _is_there(self, item: Any) -> bool:
        return isinstance(item, Block) and self._output.holds(item.plane, item.box)

    def _run(self, item: Any) -> None:
        self._begin()
        if isinstance(item, Block):
            self._output.write(item.plane, item.box, self._compute(item.plane, item.box))
        else:
            self._output.finish()

    def _progress(self) -> Generator[Progress, None, None]:
        """As of any job; windows and blocks have paces of their own."""
        left = Counter(type(item) for item in self.plan)
        spent: Counter[type] = Counter()
        run: Counter[type] = Counter()
        skipped = 0
        for i, item in enumerate(self.plan):
            kind = type(item)
            left[kind] -= 1
            if self._is_there(item):
                skipped += 1
            else:
                began = monotonic()
                self._run(item)
                spent[kind] += monotonic() - began  # type: ignore[assignment]
                run[kind] += 1
            pace = sum(left[k] * spent[k] / run[k] for k in run)
            seconds = float(pace) if run else float("nan")
            yield Progress(i + 1, len(self.plan), skipped, seconds, self._output.bytes)


def block_job(
    compute: Callable[[Plane, Box], NDArray[Any]],
    blocks: Iterable[tuple[Plane, Box]],
    frame: LabelFrame,
    *,
    dtype: DTypeLike = np.uint32,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> LabelJob:
    """Make labels of which each block is computed by itself.

    Parameters
    ----------
    compute : callable
        The labels (h, w) of a plane, as the image counts it, and a box: always the same.
    blocks : iterable of (plane, box)
        See `blocks_of`. They must not overlap.
    dtype : dtype
        Of the labels.
    frame, out, overwrite, settings
        As for `label_job`.
    """
    about = {"version": __version__, **(settings or {}), "axes": frame.axes, "shape": frame.shape}
    planned = [Block(tuple(plane), box) for plane, box in blocks]
    about["dtype"] = np.dtype(dtype).str
    about["blocks"] = len(planned)
    output = Output(frame, out, overwrite=overwrite, settings=about)
    return LabelJob(output, planned, compute, dtype=dtype)


def blocks_of(
    frame: LabelFrame, planes: Iterable[Plane] | None = None, region: Region | None = None
) -> list[tuple[Plane, Box]]:
    """The blocks, whole chunks of a store, that cover planes or what a region shows of them."""
    everything = list(tiles((0, 0, *frame.plane_shape), (BLOCK, BLOCK)))
    boxes = [box for box in everything if region is None or region.meets(box)]
    chosen = frame.planes() if planes is None else planes
    return [(tuple(plane), box) for plane in chosen for box in boxes]
