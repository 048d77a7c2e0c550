"""Label TIFFs: in ImageJ's form while they are small, tiled OME-TIFF with a pyramid beyond."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.images.arrays import fetch
from napari_hqsam.images.units import PIXEL, micrometers
from napari_hqsam.labels import place
from napari_hqsam.labels.calibration import Calibration
from napari_hqsam.labels.pixels import MEMORY_BYTES, Pixels
from napari_hqsam.labels.pyramid import create_pyramid, index, tiles

_TILE = 512
_ROW = 16  # tiles that are read at once


def write_tiff(path: Path, labels: Pixels, calibration: Calibration) -> None:
    """Write labels as a zlib-compressed TIFF that Fiji reads with its scale.

    Beyond `MEMORY_BYTES` it is a BigTIFF in tiles of 512², with its coarser levels as SubIFDs,
    and is made through a label store beside it, so that its size does not matter.
    """
    if labels.nbytes > MEMORY_BYTES:
        _write_tiled(path, labels, calibration)
    elif labels.dtype == np.uint16:
        _write_imagej(path, labels.load(), calibration)
    else:
        import tifffile

        pixels, options = labels.load(), _ome(calibration)
        tifffile.imwrite(path, pixels, ome=True, **options)


def _write_imagej(path: Path, pixels: NDArray[Any], calibration: Calibration) -> None:
    import tifffile

    um, known = _micrometers(calibration)
    axes = calibration.axes
    metadata: dict[str, Any] = {"axes": axes.upper(), "unit": "micron" if known else PIXEL}
    if "z" in axes:
        metadata["spacing"] = um["z"]
    if (seconds := _seconds(calibration)) is not None:
        metadata["finterval"] = seconds
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / um["x"], 1 / um["y"]),
        compression="zlib",
        photometric="minisblack",
        metadata=metadata,
    )


def _write_tiled(path: Path, labels: Pixels, calibration: Calibration) -> None:
    import tifffile

    from napari_hqsam.labels.store import LabelStore

    scratch = path.with_name(f"{path.name}.zarr")
    try:
        store = labels.store
        if store is None:
            create_pyramid(scratch, labels.shape, labels.dtype, calibration)
            store = LabelStore(scratch, name=labels.target)
            labels.copy_to(store)
        with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tif:
            options = _ome(calibration) | {"subifds": len(store.levels) - 1}
            for level in store.levels:
                tif.write(
                    _tiles(level, labels),
                    shape=level.shape,
                    dtype=labels.dtype,
                    tile=(_TILE, _TILE),
                    **options,
                )
                plain = {k: options[k] for k in ("compression", "photometric")}
                options = plain | {"subfiletype": 1}
    finally:
        place.remove(scratch)


def _tiles(level: Any, labels: Pixels) -> Iterator[NDArray[Any]]:
    """The tiles of a level in a TIFF's order: planes, rows, columns."""
    *lengths, height, width = level.shape
    for plane in np.ndindex(*lengths):
        for box in tiles((0, 0, height, width), (_TILE, _ROW * _TILE)):
            (row,) = fetch(level, [index(plane, box)], str(labels.target))
            row = row.astype(labels.dtype, copy=False)
            for x in range(0, row.shape[1], _TILE):
                yield row[:, x : x + _TILE]


def _ome(calibration: Calibration) -> dict[str, Any]:
    """Options of an OME-TIFF with its scale, also as a resolution, for those that read no XML."""
    um, known = _micrometers(calibration)
    metadata: dict[str, Any] = {"axes": calibration.axes.upper()}
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    options["metadata"] = metadata
    if known:
        for axis, step in um.items():
            metadata[f"PhysicalSize{axis.upper()}"] = step
            metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
        options |= {"resolution": (1e4 / um["x"], 1e4 / um["y"]), "resolutionunit": "CENTIMETER"}
    if (seconds := _seconds(calibration)) is not None:
        metadata |= {"TimeIncrement": seconds, "TimeIncrementUnit": "s"}
    return options


def _micrometers(calibration: Calibration) -> tuple[dict[str, float], bool]:
    """Steps of z, y, x in µm, and whether they are known; else as they are."""
    axes, scale = calibration.axes, calibration.scale
    step = dict(zip(axes, scale or [1.0] * len(axes), strict=True))
    unit = dict(zip(axes, calibration.units, strict=True))
    spatial = [a for a in axes if a in "zyx"]
    length = micrometers([step[a] for a in spatial], [unit[a] for a in spatial])
    um = dict(zip(spatial, length or [step[a] for a in spatial], strict=True))
    return um, scale is not None and length is not None


def _seconds(calibration: Calibration) -> float | None:
    """Seconds between time points, if the labels have them and say so."""
    unit = dict(zip(calibration.axes, calibration.units, strict=True))
    if unit.get("t") != "second":
        return None
    return (calibration.scale or (1.0,))[0]
