"""Open an image, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import as_levels
from napari_hqsam.images.axes import guess_axes
from napari_hqsam.images.source import ImageSource


def open_image(
    image: Any,
    *,
    axes: str | None = None,
    channels: int | Sequence[int] | None = None,
    scale: Sequence[float] | None = None,
    units: str | Sequence[object] | None = None,
) -> ImageSource:
    """Wrap an image, wherever it lies, as an `ImageSource`; no pixels are read.

    Parameters
    ----------
    image : array-like, sequence of array-like, str, or path
        A numpy, dask or zarr array, a list of pyramid levels (finest first), the path of a TIFF,
        PNG or JPEG file or of a zarr folder, or the URL of a zarr folder (``https://``,
        ``s3://`` and what else fsspec knows). Any real numeric or boolean dtype.
    axes : str, optional
        One letter per dimension, such as ``"tczyx"`` or ``"yxc"``; without it the file tells, or
        `guess_axes` for an array.
    channels : int or sequence of int, optional
        One to three channels: one is shown to the network as grey, two as red and green, three
        as red, green, blue. By default the first three, or as many as there are; of an RGBA
        image the colours.
    scale : sequence of float, optional
        Physical step along each axis; the axis c may be left out.
    units : str or sequence, optional
        Unit of z, y and x, or one per axis; the axis c may be left out.

    Raises
    ------
    HQSAMError
        If the image cannot be opened or used, or an option does not fit it.

    Warns
    -----
    UserWarning
        If it is a dask array whose chunks are much larger than a window.

    Examples
    --------
    >>> import numpy as np
    >>> source = open_image(np.zeros((30, 512, 512), "uint16"), scale=(2, 0.5, 0.5), units="µm")
    >>> source.axes, source.plane_axes, source.read((7,), 0, 0, 64, 64).shape
    ('zyx', 'z', (64, 64, 1))
    """
    if isinstance(image, ImageSource):
        raise HQSAMError("image: it is open already; use it as it is")
    if isinstance(image, (str, os.PathLike)):
        from napari_hqsam.images.files import open_file

        file = open_file(image)
        try:
            return ImageSource(
                file.levels,
                file.axes if axes is None else axes,
                channels=channels,
                scale=file.scale if scale is None else scale,
                units=file.units if units is None else units,
                rgb=file.rgb if axes is None else None,
                name=file.name,
                path=file.path,
                close=file.close,
            )
        except HQSAMError:
            file.close()
            raise
    levels = as_levels(image)
    if axes is None:
        axes = guess_axes(levels[0].shape)
    return ImageSource(levels, axes, channels=channels, scale=scale, units=units)
