"""Label images written for other programs: TIFF (Fiji reads its scale), OME-Zarr, PNG."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.units import PIXEL, micrometers, unit_name

_IMAGEJ_BYTES = 2**32 - 2**25  # what fits a classic TIFF, headers aside
_ZARR_CHUNK = 1024

Writer = Callable[[Path, NDArray[Any], str, tuple[float, ...] | None, tuple[str, ...]], None]


def write_labels(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    *,
    scale: Sequence[float] | None = None,
    units: str | Sequence[object] | None = None,
    axes: str = "yx",
) -> Path:
    """Write a label image, complete or not at all.

    It is written under a temporary name beside `path` and renamed; a file or a label zarr of the
    same name is replaced. The pixels become uint16, or uint32 above 65,535 (in zarr uint64 above
    4,294,967,295).

    Parameters
    ----------
    path : str or path-like
        Its suffix chooses the format.

        ``.tif``, ``.tiff``
            zlib-compressed; in ImageJ's form, with the calibration in µm, so that Fiji shows it.
            Beyond what ImageJ can hold (over 65,535 labels, or 4 GB) an OME-TIFF with the same
            calibration, also as a resolution per centimetre.
        ``.zarr``
            An OME-Zarr 0.5 label image of one level.
        ``.png``
            One plane of at most 65,535 labels; it keeps no scale.
    labels : array-like of int or bool
        0 is background. Shape along `axes`.
    scale : sequence of float, optional
        Step along each of `axes`, in `units`.
    units : str or sequence, optional
        Unit of z, y and x, or one per axis; without it `scale` counts pixels.
    axes : str
        One letter per dimension out of ``"tzyx"``, in this order; y and x are needed.

    Returns
    -------
    pathlib.Path
        Where the labels are.

    Raises
    ------
    HQSAMError
        If the labels are not whole numbers from 0 up, do not fit the format, or cannot be
        written there.
    """
    target = Path(path).expanduser()
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        raise HQSAMError(f"{target}: labels can be saved as .tif, .zarr or .png; change the suffix")
    pixels = _smallest(labels, target)
    _check_axes(axes, pixels, target)
    if scale is not None and len(scale) != len(axes):
        raise HQSAMError(f'{target}: scale {tuple(scale)!r} needs one value per axis of "{axes}"')
    steps = None if scale is None else tuple(float(step) for step in scale)
    if steps and not all(step > 0 and math.isfinite(step) for step in steps):
        raise HQSAMError(f"{target}: scale {steps!r} has a step that is not greater than 0")
    if units is None or isinstance(units, str):
        units = [unit_name(units) if a in "zyx" else PIXEL for a in axes]
    if len(units) != len(axes):
        raise HQSAMError(f'{target}: units {tuple(units)!r} need one value per axis of "{axes}"')
    partial = target.with_name(f".{target.stem[:60]}.{os.getpid()}.partial{target.suffix}")
    try:
        _check_target(target)
        write(partial, pixels, axes, steps, tuple(unit_name(unit) for unit in units))
        _replace(partial, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HQSAMError(
            f"{target}: cannot be written ({reason}); choose a folder with space and permission"
        ) from error
    finally:
        _remove(partial)
    return target


def _smallest(labels: ArrayLike, target: Path) -> NDArray[Any]:
    pixels = np.asarray(labels)
    if pixels.dtype.kind not in "bui":
        raise HQSAMError(
            f"{target}: labels are whole numbers, not {pixels.dtype}; convert them, for example "
            "with astype('uint32')"
        )
    if pixels.size == 0:
        raise HQSAMError(f"{target}: the labels have no pixels, their shape is {pixels.shape}")
    if int(pixels.min()) < 0:
        raise HQSAMError(f"{target}: labels are numbers from 0 up, but {pixels.min()} occurs")
    highest = int(pixels.max())
    dtype = next(t for t in (np.uint16, np.uint32, np.uint64) if highest <= np.iinfo(t).max)
    limit = {".zarr": 2**64, ".png": 2**16}.get(target.suffix.lower(), 2**32) - 1
    if highest > limit:
        remedy = "save it as .tif or .zarr" if limit < 2**17 else "renumber it or save it as .zarr"
        raise HQSAMError(f"{target}: holds labels up to {limit:,}, not {highest:,}; {remedy}")
    return pixels.astype(dtype, copy=False)


def _check_axes(axes: str, pixels: NDArray[Any], target: Path) -> None:
    if axes not in ("yx", "zyx", "tyx", "tzyx") or len(axes) != pixels.ndim:
        raise HQSAMError(
            f'{target}: axes "{axes}" do not fit labels of {pixels.ndim} dimension(s); '
            'give "yx", "zyx", "tyx" or "tzyx"'
        )
    if target.suffix.lower() == ".png" and axes != "yx":
        raise HQSAMError(f'{target}: a PNG holds one plane, not "{axes}"; save it as .tif or .zarr')


def _check_target(target: Path) -> None:
    """Refuse places where a rename would fail or would destroy something else than labels."""
    if not target.parent.is_dir():
        raise HQSAMError(f"{target}: there is no folder {target.parent}; make it first")
    if target.suffix.lower() != ".zarr":
        if target.is_dir():
            raise HQSAMError(f"{target}: this is a folder; choose another name")
    elif target.exists() and not _holds_labels(target):
        raise HQSAMError(f"{target}: exists and is no label image; choose another name")


def _holds_labels(folder: Path) -> bool:
    documents = [folder / name for name in ("zarr.json", ".zattrs")]
    return any(d.is_file() and "image-label" in d.read_text(errors="replace") for d in documents)


def _replace(partial: Path, target: Path) -> None:
    if target.is_dir():
        # a folder cannot be renamed over another
        old = target.with_name(f".{target.stem[:60]}.{os.getpid()}.old")
        target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            old.rename(target)
            raise
        _remove(old)
    else:
        partial.replace(target)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    elif place.exists():
        place.unlink()


def _write_tiff(
    path: Path,
    pixels: NDArray[Any],
    axes: str,
    scale: tuple[float, ...] | None,
    units: tuple[str, ...],
) -> None:
    import tifffile

    step = dict(zip(axes, scale or [1.0] * len(axes), strict=True))
    unit = dict(zip(axes, units, strict=True))
    spatial = [a for a in axes if a in "zyx"]
    length = micrometers([step[a] for a in spatial], [unit[a] for a in spatial])
    calibrated = scale is not None and length is not None
    um = dict(zip(spatial, length or [step[a] for a in spatial], strict=True))
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    seconds = unit.get("t") == "second"
    if pixels.dtype == np.uint16 and pixels.nbytes < _IMAGEJ_BYTES:
        metadata: dict[str, Any] = {"axes": axes.upper(), "unit": "micron" if calibrated else PIXEL}
        if "z" in axes:
            metadata["spacing"] = um["z"]
        if seconds:
            metadata["finterval"] = step["t"]
        resolution = (1 / um["x"], 1 / um["y"])
        tifffile.imwrite(
            path, pixels, imagej=True, resolution=resolution, metadata=metadata, **options
        )
        return
    metadata = {"axes": axes.upper()}
    if calibrated:
        for axis in spatial:
            metadata[f"PhysicalSize{axis.upper()}"] = um[axis]
            metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
        options |= {"resolution": (1e4 / um["x"], 1e4 / um["y"]), "resolutionunit": "CENTIMETER"}
    if seconds:
        metadata |= {"TimeIncrement": step["t"], "TimeIncrementUnit": "s"}
    bigtiff = pixels.nbytes >= _IMAGEJ_BYTES
    tifffile.imwrite(path, pixels, ome=True, bigtiff=bigtiff, metadata=metadata, **options)


def _write_zarr(
    path: Path,
    pixels: NDArray[Any],
    axes: str,
    scale: tuple[float, ...] | None,
    units: tuple[str, ...],
) -> None:
    import zarr

    described = []
    for axis, unit in zip(axes, units, strict=True):
        about = {"name": axis, "type": "time" if axis == "t" else "space"}
        if unit != PIXEL:
            about["unit"] = unit
        described.append(about)
    transform = {"type": "scale", "scale": list(scale or [1.0] * len(axes))}
    multiscale = {
        "name": "labels",
        "axes": described,
        "datasets": [{"path": "0", "coordinateTransformations": [transform]}],
    }
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale], "image-label": {}}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes={"ome": ome})
    plane = tuple(min(n, _ZARR_CHUNK) for n in pixels.shape[-2:])
    chunks = (1,) * (pixels.ndim - 2) + plane
    group.create_array("0", data=pixels, chunks=chunks, dimension_names=list(axes))


def _write_png(
    path: Path,
    pixels: NDArray[Any],
    axes: str,
    scale: tuple[float, ...] | None,
    units: tuple[str, ...],
) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


_WRITERS: dict[str, Writer] = {
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".zarr": _write_zarr,
    ".png": _write_png,
}
