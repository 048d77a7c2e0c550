"""TIFF, OME-TIFF and ImageJ TIFF files, pyramids included, opened lazily through tifffile."""

from __future__ import annotations

import logging
import math
import struct
import weakref
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.files import FileImage, check_chunk
from napari_hqsam.images.lazy import MappedArray
from napari_hqsam.images.units import PIXEL, unit_name

_MAX_PAGES = 1_000_000
_MAX_TAGS = 4096
_SAMPLED_PAGES = 256


def open_tiff(path: Path) -> FileImage:
    """Open the first image of a TIFF file without reading its pixels.

    Pixels that lie uncompressed in one piece, as ImageJ writes them, are mapped, so that a box
    costs only its own rows; all others are zarr arrays over the file's tiles or strips.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    FileImage
        Axes from OME-XML, ImageJ's or tifffile's metadata (a plain stack of pages is z); scale in
        µm from PhysicalSize, ImageJ's calibration, or a resolution per centimetre (a resolution
        per inch means print, and is left out).

    Raises
    ------
    HQSAMError
        If the file is no TIFF, cut off, circular, or needs a codec that is not installed.
    """
    check_pages(path)
    import tifffile

    with _quiet():
        try:
            tif = tifffile.TiffFile(path)
        except Exception as error:
            raise HQSAMError(_damaged(path, str(error))) from error
        # the arrays outlive every other trace of the file, in napari's layers for example
        weakref.finalize(tif, tif.filehandle.close)
        try:
            return _open(path, tif)
        except HQSAMError:
            tif.close()
            raise
        except Exception as error:  # tifffile meets a damaged file with errors of every kind
            tif.close()
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise HQSAMError(_damaged(path, reason)) from error


def check_pages(path: Path) -> None:
    """Walk the chain of page headers (IFDs) and refuse one that is circular or cut off.

    tifffile looks for circles only once, at the hundredth page, and takes a chain that is cut off
    for a shorter one.
    """
    with path.open("rb") as file:
        header = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(header[:2], "")
        version = struct.unpack(order + "H", header[2:4])[0] if order and len(header) >= 8 else 0
        if version == 42:
            count_format, offset_format, tag_size, first = "H", "I", 12, header[4:8]
        elif version == 43 and len(header) == 16:
            count_format, offset_format, tag_size, first = "Q", "Q", 20, header[8:16]
        else:
            raise HQSAMError(f"{path}: this is no TIFF file; check what it is, or export it again")
        count_size, offset_size = (struct.calcsize(f"={f}") for f in (count_format, offset_format))
        offset = struct.unpack(order + offset_format, first)[0]
        seen: set[int] = set()
        while offset or not seen:
            if offset in seen:
                raise HQSAMError(_damaged(path, "its pages refer to each other in a circle"))
            if len(seen) == _MAX_PAGES:
                raise HQSAMError(f"{path}: over {_MAX_PAGES:,} pages; save it as OME-Zarr")
            seen.add(offset)
            file.seek(offset)
            count = file.read(count_size)
            complete = len(count) == count_size
            n_tags = struct.unpack(order + count_format, count)[0] if complete else 0
            tags = file.read(n_tags * tag_size + offset_size) if 0 < n_tags <= _MAX_TAGS else b""
            if offset < 8 or len(tags) != n_tags * tag_size + offset_size:
                raise HQSAMError(_damaged(path, f"page {len(seen)} is missing or incomplete"))
            offset = struct.unpack(order + offset_format, tags[-offset_size:])[0]


def _open(path: Path, tif: Any) -> FileImage:
    if not tif.series:
        raise HQSAMError(f"{path}: there is no image in this file; export it again")
    series = tif.series[0]
    keyframe = series.keyframe
    _check_codec(path, keyframe)
    levels: list[Any] = []
    for i, level in enumerate(series.levels):
        _check_data(path, level)
        if levels and not _smaller(level, series.levels[i - 1]):
            break
        levels.append(_lazy(path, tif, series, i))
    _check_planes(path, tif, series)
    mapped = all(isinstance(level, MappedArray) for level in levels)
    axes = _axes(series.axes)
    steps, channel_names = _metadata(tif, keyframe)
    scale = units = None
    if steps:
        scale = tuple(steps.get(a, (1.0, PIXEL))[0] for a in axes)
        units = tuple(steps.get(a, (1.0, PIXEL))[1] for a in axes)
    n_channels = series.shape[axes.index("c")] if "c" in axes else 1
    if mapped:
        tif.close()
    return FileImage(
        path,
        tuple(levels),
        axes,
        scale,
        units,
        rgb=int(keyframe.photometric) in (2, 6) and n_channels in (3, 4),
        channel_names=channel_names if len(channel_names) == n_channels > 1 else None,
        closer=None if mapped else tif.close,
    )


def _lazy(path: Path, tif: Any, series: Any, index: int) -> Any:
    """A level as a map of the file, or as a zarr array."""
    level = series.levels[index]
    dtype = np.dtype(level.dtype)
    if level.dataoffset is not None and level.keyframe.is_memmappable and not level.is_multifile:
        kind = dtype.newbyteorder(tif.byteorder)
        return MappedArray(path, kind, level.dataoffset, tuple(level.shape))
    chunk = level.keyframe.chunks
    check_chunk(tuple(chunk), dtype.itemsize, path)
    import zarr

    return zarr.open_array(series.aszarr(level=index), mode="r")


def _axes(tifffile_axes: str) -> str:
    """Lower-case axes; samples become c, and a stack without a name z, then t."""
    letters = list(tifffile_axes.lower())
    if "s" in letters:
        if "c" in letters:  # channels of colours
            letters[letters.index("c")] = "q"
        letters[letters.index("s")] = "c"
    spare = iter([a for a in "ztqrpuvw" if a not in letters])
    for i in reversed(range(len(letters))):
        if letters[i] in "iq" or letters[i] in letters[i + 1 :]:
            letters[i] = next(spare)
    return "".join(letters)


def _metadata(tif: Any, keyframe: Any) -> tuple[dict[str, tuple[float, str]], tuple[str, ...]]:
    """(step, unit) of the axes that the file knows, and names of the channels."""
    if tif.is_ome and (pixels := _ome_pixels(tif.ome_metadata)) is not None:
        steps = {}
        for axis in "xyz":
            size = pixels.get(f"PhysicalSize{axis.upper()}")
            steps[axis] = size, pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm")
        steps["t"] = pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
        names = [channel.get("Name", "") for channel in pixels.findall("{*}Channel")]
        return _usable(steps), tuple(names) if all(names) else ()
    tags = keyframe.tags
    across = {"x": _resolution(tags, "XResolution"), "y": _resolution(tags, "YResolution")}
    if tif.is_imagej:
        about = tif.imagej_metadata or {}
        unit = unit_name(about.get("unit"))
        steps = {axis: (step, unit) for axis, step in across.items() if unit != PIXEL}
        if unit != PIXEL:
            steps["y"] = steps["y"][0], about.get("yunit", unit)
            steps["z"] = about.get("spacing"), about.get("zunit", unit)
        steps["t"] = about.get("finterval"), about.get("tunit", "s")
        return _usable(steps), ()
    if int(keyframe.resolutionunit or 1) == 3:
        return _usable({a: (step * 1e4 if step else None, "µm") for a, step in across.items()}), ()
    return {}, ()


def _ome_pixels(xml: str) -> Any | None:
    try:
        return ElementTree.fromstring(xml).find("{*}Image/{*}Pixels")
    except (ElementTree.ParseError, TypeError):
        return None


def _resolution(tags: Any, name: str) -> float | None:
    """Units per pixel; TIFF stores pixels per unit as a fraction."""
    value = tags.valueof(name)
    return value[1] / value[0] if value and value[0] else None


def _usable(steps: dict[str, tuple[Any, Any]]) -> dict[str, tuple[float, str]]:
    found = {}
    for axis, (step, unit) in steps.items():
        try:
            number = float(step)
        except (TypeError, ValueError):
            continue
        if number > 0 and math.isfinite(number):
            found[axis] = (number, unit_name(unit))
    return found


def _smaller(level: Any, finer: Any) -> bool:
    """Whether a level is a level: broken files point back at their own image."""
    return len(level.shape) == len(finer.shape) and math.prod(level.shape) < math.prod(finer.shape)


def _check_codec(path: Path, page: Any) -> None:
    """Refuse a compression for which nothing is installed, before a read would fail."""
    import tifffile

    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        name = getattr(page.compression, "name", page.compression)
        raise HQSAMError(
            f"{path}: reading {name} compression needs a package: pip install imagecodecs"
        ) from None


def _check_data(path: Path, level: Any) -> None:
    """Check that the pixels of a level lie within the file, on up to 256 of its pages."""
    if level.dataoffset is not None:
        end = level.dataoffset + level.nbytes
        if end > level.keyframe.parent.filehandle.size:
            raise HQSAMError(_damaged(path, "the pixels are incomplete"))
        return
    n = len(level.pages)
    for i in sorted({round(k * (n - 1) / (_SAMPLED_PAGES - 1)) for k in range(_SAMPLED_PAGES)}):
        page = level.pages[i]
        if page is None:  # a plane that was never acquired
            continue
        size = page.parent.filehandle.size
        ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if max([*ends, *(page.subifds or ())], default=0) > size:
            raise HQSAMError(_damaged(path, f"the pixels of page {i + 1} are incomplete"))


def _check_planes(path: Path, tif: Any, series: Any) -> None:
    """Refuse an ImageJ stack that is cut off, which tifffile takes for its first plane."""
    if tif.is_imagej:
        planes = math.prod(series.shape) // math.prod(series.keyframe.shape)
        if planes < int((tif.imagej_metadata or {}).get("images", 1)):
            raise HQSAMError(_damaged(path, "planes are missing"))


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: the TIFF is damaged or incomplete ({reason[:160]}); copy or export it again"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's log, which repeats what the one error says, off the terminal."""
    logger = logging.getLogger("tifffile")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
