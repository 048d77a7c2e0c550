"""One lazy face for every kind of image: arrays in memory, on disk, multiscale, or a path."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import (
    as_levels,
    check_levels,
    fetch,
    numeric_dtype,
    shrink_factor,
)
from napari_hqsam.images.axes import check_axes, guess_axes
from napari_hqsam.images.units import PIXEL, unit_name

Box = tuple[Sequence[int], int, int, int, int]
"""``(plane, y0, x0, y1, x1)``: a half-open rectangle of one plane."""


class ImageSource:
    """An image that is read one small box at a time, never as a whole.

    Made by `open_image`.

    Attributes
    ----------
    levels : tuple of array-like
        The arrays as given, finest first; anything with ``shape``, ``dtype`` and slicing.
    array_axes : str
        Axes of the arrays in `levels`, for example ``"tczyx"``.
    axes : str
        `array_axes` without the axes of length 1 other than y and x.
    shape : tuple of int
        Shape of level 0 along `axes`.
    dtype : numpy.dtype
        Data type of the pixels, in native byte order.
    plane_axes : str
        The letters of `axes` other than y, x and c, in order, for example ``"tz"``: a plane is
        one index along each.
    plane_shape : tuple of int
        Length of each of `plane_axes` in level 0.
    n_channels : int
        Number of channels in the image; 1 without an axis c.
    channels : tuple of int
        The one to three channels that `read` returns, in this order.
    scale : tuple of float or None
        Physical step along each of `axes`, in `units`.
    units : tuple of str or None
        Unit of each of `axes`, for example ``"micrometer"``.
    rgb : bool
        Whether the channels are the colours of a photograph.
    name : str
        The file's name or ``"image"``; it begins every error message.
    path : pathlib.Path or None
        Where the image was opened from.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        axes: str,
        *,
        channels: int | Sequence[int] | None = None,
        scale: Sequence[float] | None = None,
        units: str | Sequence[object] | None = None,
        rgb: bool | None = None,
        name: str = "image",
        path: Path | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.levels = tuple(levels)
        full_shape = tuple(int(n) for n in self.levels[0].shape)
        self.dtype = numeric_dtype(self.levels[0], name)
        self.array_axes = check_axes(axes, full_shape)
        if 0 in full_shape:
            raise HQSAMError(f"{name}: the image has no pixels, its shape is {full_shape}")
        check_levels(self.levels, self.array_axes, name)

        lengths = dict(zip(self.array_axes, full_shape, strict=True))
        self.axes = "".join(a for a in self.array_axes if a in "yx" or lengths[a] > 1)
        self.shape = tuple(lengths[a] for a in self.axes)
        self.plane_axes = "".join(a for a in self.axes if a not in "yxc")
        self.plane_shape = tuple(lengths[a] for a in self.plane_axes)
        self.n_channels = lengths.get("c", 1)
        self.channels = self._choose_channels(channels)
        colours_last = self.array_axes[-1] == "c" and self.n_channels in (3, 4)
        self.rgb = colours_last if rgb is None else rgb
        self.scale = self._per_axis(scale, "scale", _positive)
        if isinstance(units, str):
            units = [unit_name(units) if a in "zyx" else PIXEL for a in self.array_axes]
        self.units = self._per_axis(units, "units", unit_name)
        self._close = close

    def yx_shape(self, level: int = 0) -> tuple[int, int]:
        """Return the height and width of a plane of `level` in pixels."""
        shape = self._level(level).shape
        return int(shape[self.array_axes.index("y")]), int(shape[self.array_axes.index("x")])

    def downsample(self, level: int) -> tuple[float, float]:
        """Return how many pixels of level 0 one pixel of `level` spans along y and x.

        Pyramids round odd lengths up or down; the whole number meant is returned where there is
        one: 2.0 for a level of 501 below one of 1001.
        """
        pairs = zip(self.yx_shape(0), self.yx_shape(level), strict=True)
        fy, fx = (shrink_factor(fine, coarse) for fine, coarse in pairs)
        return fy, fx

    def check_plane(self, plane: Sequence[int]) -> tuple[int, ...]:
        """Return `plane` as a tuple of ints after checking it against `plane_shape`.

        Raises
        ------
        HQSAMError
            If it does not hold one index within the image for each of `plane_axes`.
        """
        try:
            indices = tuple(operator.index(i) for i in plane)
        except TypeError:
            raise HQSAMError(
                f"plane {plane!r}: give a tuple of whole numbers, one for each of the axes "
                f'"{self.plane_axes}"'
            ) from None
        if len(indices) != len(self.plane_axes):
            if not self.plane_axes:
                raise HQSAMError(f"plane {indices}: {self.name} is a single plane; leave it out")
            raise HQSAMError(
                f"plane {indices}: {self.name} needs one index for each of the axes "
                f'"{self.plane_axes}"'
            )
        for i, axis, length in zip(indices, self.plane_axes, self.plane_shape, strict=True):
            if not 0 <= i < length:
                raise HQSAMError(
                    f"plane {indices}: {axis} = {i} is outside {self.name}, "
                    f"choose {axis} from 0 to {length - 1}"
                )
        return indices

    def read(
        self, plane: Sequence[int], y0: int, x0: int, y1: int, x1: int, level: int = 0
    ) -> NDArray[Any]:
        """Read a box of one plane: rows y0 to y1 and columns x0 to x1, ends excluded.

        Parameters
        ----------
        plane : sequence of int
            One index in level 0 for each of `plane_axes`; ``()`` for a 2-D image.
        y0, x0, y1, x1 : int
            The box in pixels of `level`; it must lie within the plane.
        level : int
            Pyramid level, 0 the finest.

        Returns
        -------
        numpy.ndarray
            Shape (y1 - y0, x1 - x0, len(`channels`)), `dtype` (bool becomes uint8). It may be a
            view of the image: do not write to it.

        Raises
        ------
        HQSAMError
            If the plane or the box is outside the image, or the pixels cannot be read.
        """
        return self.read_many([(plane, y0, x0, y1, x1)], level)[0]

    def read_many(self, boxes: Sequence[Box], level: int = 0) -> list[NDArray[Any]]:
        """Read several boxes; of a dask array, chunks that they share are computed once."""
        array = self._level(level)
        height, width = self.yx_shape(level)
        requests: list[list[tuple[Any, ...]]] = []
        for plane, y0, x0, y1, x1 in boxes:
            if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
                raise HQSAMError(
                    f"{self.name}: the box {y0},{x0},{y1},{x1} is outside the plane of "
                    f"{height} x {width} pixels"
                )
            spans = {"y": slice(int(y0), int(y1)), "x": slice(int(x0), int(x1))}
            spans.update(self._plane_index(plane, array))
            requests.append(self._requests(spans))
        indices = [index for request in requests for index in request]
        blocks = iter(fetch(array, indices, self.name))
        return [
            self._assemble([next(blocks) for _ in request], box)
            for request, box in zip(requests, boxes, strict=True)
        ]

    def close(self) -> None:
        """Close the file behind the image; nothing can be read afterwards."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> ImageSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{a}={n}" for a, n in zip(self.axes, self.shape, strict=True))
        levels = f", {len(self.levels)} levels" if len(self.levels) > 1 else ""
        return f"<ImageSource {self.name!r}: {sizes}, {self.dtype}{levels}>"

    def _level(self, level: int) -> Any:
        if not 0 <= level < len(self.levels):
            raise HQSAMError(
                f"level {level}: {self.name} has {len(self.levels)} level(s), counted from 0"
            )
        return self.levels[level]

    def _choose_channels(self, channels: int | Sequence[int] | None) -> tuple[int, ...]:
        if channels is None:
            return tuple(range(min(self.n_channels, 3)))
        try:
            wanted = [channels] if isinstance(channels, (int, np.integer)) else list(channels)
            chosen = tuple(operator.index(c) for c in wanted)
        except TypeError:
            raise HQSAMError(f"channels {channels!r}: give one to three channel numbers") from None
        if not 1 <= len(chosen) <= 3:
            raise HQSAMError(f"channels {channels!r}: give one, two or three channel numbers")
        if not all(0 <= c < self.n_channels for c in chosen):
            raise HQSAMError(
                f"channels {channels!r}: {self.name} has {self.n_channels} channel(s), "
                "counted from 0"
            )
        return chosen

    def _per_axis(
        self, values: Sequence[Any] | None, what: str, convert: Callable[[Any], Any]
    ) -> tuple[Any, ...] | None:
        """Match values to `array_axes`, or to them without c, and keep those of `axes`."""
        if values is None:
            return None
        for axes in (self.array_axes, self.array_axes.replace("c", "")):
            if len(values) == len(axes):
                try:
                    of = {a: convert(v) for a, v in zip(axes, values, strict=True)}
                except (TypeError, ValueError):
                    break
                missing = 1.0 if what == "scale" else PIXEL
                return tuple(of.get(a, missing) for a in self.axes)
        raise HQSAMError(
            f'{what} {values!r}: give one value for each of the axes "{self.array_axes}"'
            + (", each greater than 0" if what == "scale" else "")
        )

    def _plane_index(self, plane: Sequence[int], array: Any) -> dict[str, Any]:
        """Index of a plane in the array of a level, whose z may be shrunk as well."""
        index: dict[str, Any] = {}
        checked = self.check_plane(plane)
        for i, axis, length in zip(checked, self.plane_axes, self.plane_shape, strict=True):
            here = int(array.shape[self.array_axes.index(axis)])
            index[axis] = (2 * i + 1) * here // (2 * length)
        return index

    def _requests(self, spans: dict[str, Any]) -> list[tuple[Any, ...]]:
        """One index into the array, or one per channel where these lie far apart."""
        low, high = min(self.channels), max(self.channels) + 1
        adjacent = high - low <= 4
        selections: list[Any] = [slice(low, high)] if adjacent else list(self.channels)
        if "c" not in self.array_axes:
            selections = [0]
        return [
            tuple(s if a == "c" else spans.get(a, 0) for a in self.array_axes) for s in selections
        ]

    def _assemble(self, blocks: list[NDArray[Any]], box: Box) -> NDArray[Any]:
        """Bring what was read for one box to (y, x, channel)."""
        together = blocks[0].ndim == 3
        kept = [a for a in self.array_axes if a in "yx" or (a == "c" and together)]
        order = [kept.index(a) for a in ("yxc" if together else "yx")]
        planes = [np.transpose(block, order) for block in blocks]
        if together:
            low = min(self.channels)
            chosen = [c - low for c in self.channels]
            pixels = planes[0]
            if chosen != list(range(pixels.shape[2])):
                pixels = pixels[:, :, chosen]
        else:
            pixels = planes[0][:, :, None] if len(planes) == 1 else np.stack(planes, axis=-1)
        expected = (box[3] - box[1], box[4] - box[2], len(self.channels))
        if pixels.shape != expected:
            raise HQSAMError(
                f"{self.name}: {pixels.shape} pixels came back for a box of {expected}; "
                "the array is damaged"
            )
        if pixels.dtype == bool:
            return pixels.astype(np.uint8)
        return pixels.astype(self.dtype, copy=False)


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
        A numpy, dask or zarr array, a list of pyramid levels (finest first), or the path of a
        TIFF, PNG or JPEG file or of a zarr folder. Any real numeric or boolean dtype.
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


def _positive(value: Any) -> float:
    step = float(value)
    if not (step > 0 and math.isfinite(step)):
        raise ValueError(value)
    return step
