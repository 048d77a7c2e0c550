"""Objects drawn into a label image, which has one label for each pixel."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.units import PIXEL
from napari_hqsam.labels import pixels, place
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.label_array import LabelArray, MemoryLabels, StoreLabels
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.pyramid import tiles
from napari_hqsam.labels.rows import Rows
from napari_hqsam.labels.store import LabelStore

_SIDE = 2048  # of what is drawn at once


def flatten(
    objects: Sequence[LabelObject],
    labels: LabelArray,
    grid: Grid,
    progress: Progress | None = None,
) -> dict[int, int]:
    """Draw objects into labels, where there is background.

    Returns
    -------
    dict of int to int
        How many pixels of an object were taken already, of those that lost some.

    Raises
    ------
    HQSAMError
        If an object reaches beyond the labels, or they cannot be written.
    """
    hidden: dict[int, int] = {}
    height, width = grid.yx
    for obj in counted(objects, progress, "drawing objects"):
        for mask in grid.upright(obj).masks:
            rows = Rows.of_mask(mask)
            y0, x0, y1, x1 = rows.bbox
            if min(y0, x0) < 0 or y1 > height or x1 > width:
                raise HQSAMError(
                    f"object {obj.id}: reaches beyond {grid.name} of {height} x {width} pixels"
                )
            for box in tiles(rows.bbox, (_SIDE, _SIDE)):
                part = rows.dense(box)
                free = labels.read(mask.plane, box) == 0
                value = np.broadcast_to(labels.dtype.type(obj.id), part.shape)
                labels.write(mask.plane, box[0], box[1], value, part & free)
                lost = int((part & ~free).sum())
                if lost:
                    hidden[obj.id] = hidden.get(obj.id, 0) + lost
    return hidden


def write_flat(
    path: str | os.PathLike[str],
    objects: Sequence[LabelObject],
    grid: Grid,
    *,
    progress: Progress | None = None,
) -> dict[int, int]:
    """Write objects as a label image, complete or not at all.

    Large labels are made on disk, beside the file.

    Parameters
    ----------
    path : str or path-like
        As for `write_labels`.
    objects : sequence of LabelObject
        Where two overlap the first keeps the pixels.
    grid : Grid
        Its axes must be in the order t, z, y, x.
    progress : callable, optional
        `Progress`.

    Returns
    -------
    dict of int to int
        As `flatten`.

    Raises
    ------
    HQSAMError
        If they cannot be written.
    """
    target = Path(path).expanduser()
    highest = max((obj.id for obj in objects), default=0)
    dtype = next(t for t in (np.uint16, np.uint32, np.uint64) if highest <= np.iinfo(t).max)
    units = tuple(grid.units or (PIXEL,) * len(grid.axes))
    scratch = place.partial(target.with_suffix(".labels.zarr"))
    try:
        labels: LabelArray
        if math.prod(grid.shape) * np.dtype(dtype).itemsize <= pixels.MEMORY_BYTES:
            written: Any = np.zeros(grid.shape, dtype)
            labels = MemoryLabels(written)
        else:
            with place.writing(target):
                place.check_target(target)
            written = LabelStore.create(
                scratch,
                grid.shape,
                axes=grid.axes,
                dtype=dtype,
                scale=grid.scale,
                units=units,
                overwrite=True,
                name=target,
            )
            labels = StoreLabels(written)
        hidden = flatten(objects, labels, grid, progress)
        write_labels(target, written, scale=grid.scale, units=units, axes=grid.axes)
    finally:
        place.remove(scratch)
    return hidden
