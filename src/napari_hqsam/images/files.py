"""Image files, opened lazily: TIFF, OME-Zarr and plain zarr (also remote), PNG, JPEG."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.location import Location, Url, locate

MAX_CHUNK_BYTES = 2**31
"""What one read may unpack at the most; a header that claims more is refused unread."""

_TIFF = (".tif", ".tiff", ".btf", ".tf8")
_PICTURE = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class FileImage:
    """What a file says about its image.

    Attributes
    ----------
    path : pathlib.Path or Url
        The file or folder.
    levels : tuple of array-like
        Lazy arrays (zarr arrays, or a map of the file), finest first. Pictures are in memory.
    axes : str
        One letter per dimension of the levels.
    scale : tuple of float or None
        Step along each axis in `units`; None if the file does not say.
    units : tuple of str or None
        Unit of each axis, ``"pixel"`` where there is none.
    rgb : bool
        Whether the axis c holds the colours of a photograph.
    channel_names : tuple of str or None
        A name for each index along c.
    is_labels : bool
        Whether the file says of itself that it holds labels.
    closer : callable or None
        Closes what is held open for the levels.
    """

    path: Location
    levels: tuple[Any, ...]
    axes: str
    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    rgb: bool = False
    channel_names: tuple[str, ...] | None = None
    is_labels: bool = False
    closer: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """Name of the file, without its folder; of a URL the last part."""
        return self.path.name

    def close(self) -> None:
        """Close the file; the levels cannot be read afterwards."""
        if self.closer is not None:
            self.closer()


def open_file(path: str | os.PathLike[str]) -> FileImage:
    """Open an image file, a zarr folder or a zarr folder on a server, without reading its pixels.

    Of a file with several images (series) the first is opened. PNG and JPEG files are read at
    once, as their formats demand; 16-bit colour PNG files come down to 8 bits.

    Parameters
    ----------
    path : str or path-like
        A ``.tif``, ``.tiff``, ``.btf``, ``.png``, ``.jpg`` or ``.jpeg`` file, a zarr folder, or
        the URL of one (``https://``, ``s3://`` and what else fsspec knows).

    Returns
    -------
    FileImage
        Its arrays and what the file tells about axes, scale, units and channels.

    Raises
    ------
    HQSAMError
        If the file is missing, damaged, of another kind, or dangerous to read, or the server
        cannot be reached.
    """
    place = locate(path)
    if isinstance(place, Url):
        if place.suffix.lower() in _TIFF + _PICTURE:
            raise HQSAMError(
                f"{place}: of remote images only zarr can be read; copy this file to this machine"
            )
        from napari_hqsam.images.ome_zarr import open_zarr

        return open_zarr(place)
    try:
        if not place.exists():
            raise HQSAMError(f"{place}: no such file or folder; check the path")
        if place.is_dir():
            from napari_hqsam.images.ome_zarr import open_zarr

            return open_zarr(place)
        suffix = place.suffix.lower()
        if suffix not in _TIFF + _PICTURE:
            raise HQSAMError(
                f"{place}: cannot read {suffix or 'a file without a suffix'}; give a TIFF, PNG or "
                "JPEG file or a zarr folder (other formats: open them in napari first)"
            )
        if place.stat().st_size == 0:
            raise HQSAMError(f"{place}: the file is empty; copy or export it again")
        if suffix in _TIFF:
            from napari_hqsam.images.tiff import open_tiff

            return open_tiff(place)
        return _open_picture(place)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HQSAMError(f"{place}: cannot be opened ({reason}); check its permissions") from error


def check_chunk(shape: tuple[int, ...], itemsize: int, path: Location) -> None:
    """Refuse an array whose chunks of `shape` would not fit the memory of one read."""
    size = itemsize
    for n in shape:
        size *= int(n)
    if size > MAX_CHUNK_BYTES:
        pixels, limit = " x ".join(map(str, shape)), MAX_CHUNK_BYTES / 2**30
        raise HQSAMError(
            f"{path}: its chunks of {pixels} pixels take {size / 2**30:.3g} GiB each, more than "
            f"{limit:.3g}; save it with smaller chunks or tiles"
        )


def _open_picture(path: Path) -> FileImage:
    from PIL import Image

    kept = {"1", "L", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L"}
    damaged = f"{path}: the picture is damaged or incomplete"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.mode in kept:
                    pixels = np.asarray(picture)
                else:
                    # palettes, CMYK, grey with alpha
                    grey = picture.mode in ("LA", "La")
                    pixels = np.asarray(picture.convert("L" if grey else "RGB"))
                deep_png = picture.format == "PNG" and picture.mode == "I"
    except Image.DecompressionBombError:
        raise HQSAMError(
            f"{path}: too many pixels for a picture format; save it as a tiled TIFF or OME-Zarr"
        ) from None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise HQSAMError(f"{damaged} ({reason[:120]}); copy or export it again") from error
    if deep_png:
        pixels = pixels.astype(np.uint16)
    colours = pixels.ndim == 3
    return FileImage(path, (pixels,), "yxc" if colours else "yx", rgb=colours)
