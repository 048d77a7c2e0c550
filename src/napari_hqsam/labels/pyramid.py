"""The pyramid of a label image: how a coarser level is made, and an empty one on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_hqsam.images.units import PIXEL
from napari_hqsam.labels.calibration import Calibration

Box = tuple[int, int, int, int]
"""``(y0, x0, y1, x1)``: a half-open rectangle of a plane."""

Plane = tuple[int, ...]
"""One index for each axis before y."""

CHUNK = 512
"""Side of a chunk in pixels."""

OURS = "napari-hqsam"
"""Key of this program's own attributes."""


def shrink(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels (h, w) at half the size: of each 2 × 2 pixels the largest label.

    Background gives way, so that small and thin objects stay visible; taking one pixel of four
    would make them vanish. An odd last row or column makes a pixel of its own.

    Returns
    -------
    ndarray
        (⌈h/2⌉, ⌈w/2⌉), of the same dtype.
    """
    rows = labels[0::2].copy()
    odd = labels[1::2]
    np.maximum(rows[: len(odd)], odd, out=rows[: len(odd)])
    columns = rows[:, 0::2].copy()
    odd = rows[:, 1::2]
    np.maximum(columns[:, : odd.shape[1]], odd, out=columns[:, : odd.shape[1]])
    return columns


def halved(box: Box) -> Box:
    """The box of the coarser pixels that a box of even corners becomes."""
    y0, x0, y1, x1 = box
    return y0 // 2, x0 // 2, -(-y1 // 2), -(-x1 // 2)


def doubled(box: Box, shape: tuple[int, ...]) -> Box:
    """The box of the finer pixels, of a plane of `shape`, under a box of coarser ones."""
    y0, x0, y1, x1 = box
    return 2 * y0, 2 * x0, min(2 * y1, shape[-2]), min(2 * x1, shape[-1])


def index(plane: Plane, box: Box) -> tuple[Any, ...]:
    """A box of one plane as an index into an array of all planes."""
    y0, x0, y1, x1 = box
    return (*plane, slice(y0, y1), slice(x0, x1))


def common(a: Box, b: Box) -> Box | None:
    """The box that two boxes share, or None."""
    y0, x0, y1, x1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def slices(box: Box, around: Box) -> tuple[slice, slice]:
    """A box as an index into the pixels of a box around it."""
    (y0, x0, y1, x1), (oy, ox) = box, around[:2]
    return slice(y0 - oy, y1 - oy), slice(x0 - ox, x1 - ox)


def tiles(box: Box, side: tuple[int, int]) -> Iterator[Box]:
    """The parts of a box on a grid of `side` pixels that begins at 0."""
    y0, x0, y1, x1 = box
    h, w = side
    for y in range(y0 - y0 % h, y1, h):
        for x in range(x0 - x0 % w, x1, w):
            yield max(y, y0), max(x, x0), min(y + h, y1), min(x + w, x1)


def level_shapes(shape: tuple[int, ...], chunk: int) -> list[tuple[int, ...]]:
    """Shapes of all levels, finest first, until a plane is at most two chunks wide and high."""
    shapes = [tuple(shape)]
    while max(shapes[-1][-2:]) > 2 * chunk:
        *rest, h, w = shapes[-1]
        shapes.append((*rest, -(-h // 2), -(-w // 2)))
    return shapes


def create_pyramid(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    calibration: Calibration,
    *,
    chunk: int = CHUNK,
    highest: int = 0,
) -> None:
    """Make an OME-Zarr 0.5 label image without labels: metadata only, whatever its size.

    Chunks are one plane deep and compressed by zstd, with a checksum that a reader verifies.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    shapes = level_shapes(shape, chunk)
    ome: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [_multiscale(len(shapes), calibration)],
        "image-label": {},
    }
    attributes: dict[str, Any] = {"ome": ome, OURS: {"highest": highest}}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=attributes)
    for level, extent in enumerate(shapes):
        group.create_array(
            str(level),
            shape=extent,
            dtype=dtype,
            chunks=(1,) * (len(extent) - 2) + tuple(min(n, chunk) for n in extent[-2:]),
            fill_value=0,
            compressors=ZstdCodec(level=1, checksum=True),
            dimension_names=list(calibration.axes),
        )


def _multiscale(levels: int, calibration: Calibration) -> dict[str, Any]:
    axes = calibration.axes
    described = []
    for axis, unit in zip(axes, calibration.units, strict=True):
        about = {"name": axis, "type": "time" if axis == "t" else "space"}
        if unit != PIXEL:
            about["unit"] = unit
        described.append(about)
    steps = calibration.scale or (1.0,) * len(axes)
    datasets = []
    for level in range(levels):
        factors = [2.0**level if a in "yx" else 1.0 for a in axes]
        pairs = list(zip(steps, factors, strict=True))
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [s * f for s, f in pairs]}]
        if level:  # the centre of a coarser pixel lies between those of finer ones
            moved = [s * (f - 1) / 2 for s, f in pairs]
            transforms.append({"type": "translation", "translation": moved})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return {"name": "labels", "axes": described, "datasets": datasets}
