"""One lazy face for every kind of image: arrays in memory, on disk, multiscale, remote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import check_levels, numeric_dtype, shrink_factor
from napari_hqsam.images.axes import (
    check_axes,
    check_plane,
    displayed_axes,
    scale_of_axes,
    units_of_axes,
)
from napari_hqsam.images.boxes import read_boxes
from napari_hqsam.images.channels import choose_channels
from napari_hqsam.images.chunk_cache import keep_chunks
from napari_hqsam.images.pyramid import VirtualLevel

if TYPE_CHECKING:
    from napari_hqsam.images.location import Location

Box = tuple[Sequence[int], int, int, int, int]
"""``(plane, y0, x0, y1, x1)``: a half-open rectangle of one plane."""


class ImageSource:
    """An image that is read one small box at a time, never as a whole.

    Made by `open_image`.

    Attributes
    ----------
    levels : tuple of array-like
        The arrays, finest first; anything with ``shape``, ``dtype`` and slicing. An array whose
        chunks are much larger than a window is wrapped, so that its chunks are kept.
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
        The file's name or ``"image"``; error messages begin with it.
    path : pathlib.Path or Url or None
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
        channel_numbers: Sequence[int] | None = None,
        path: Location | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        arrays = list(levels)
        full_shape = tuple(int(n) for n in arrays[0].shape)
        self.dtype = numeric_dtype(arrays[0], name)
        self.array_axes = check_axes(axes, full_shape)
        if 0 in full_shape:
            raise HQSAMError(f"{name}: the image has no pixels, its shape is {full_shape}")
        check_levels(arrays, self.array_axes, name)
        # one warning for all levels
        self.levels = (keep_chunks(arrays[0], name), *(keep_chunks(a) for a in arrays[1:]))

        lengths = dict(zip(self.array_axes, full_shape, strict=True))
        self.axes = "".join(a for a in self.array_axes if a in "yx" or lengths[a] > 1)
        self.shape = tuple(lengths[a] for a in self.axes)
        self.plane_axes = "".join(a for a in self.axes if a not in "yxc")
        self.plane_shape = tuple(lengths[a] for a in self.plane_axes)
        self.n_channels = lengths.get("c", 1)
        self.channels = choose_channels(channels, self.n_channels, name)
        colours_last = self.array_axes[-1] == "c" and self.n_channels in (3, 4)
        self.rgb = colours_last if rgb is None else rgb
        self.scale = scale_of_axes(scale, self.array_axes, self.axes)
        self.units = units_of_axes(units, self.array_axes, self.axes)
        self._upright: ImageSource | None = None
        self._close = close
        self._numbers = tuple(channel_numbers or range(self.n_channels))
        self._orientation = tuple(range(len(self.plane_axes) + 2))

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

    def best_level(self, scale: float) -> int:
        """Return the coarsest level that still has the detail which a shrunk window shows.

        Parameters
        ----------
        scale : float
            Model pixels per pixel of level 0. From 1 on this is level 0 itself.

        Returns
        -------
        int
            A level whose pixels span at most 1 / `scale` pixels of level 0 along y, x and
            `plane_axes`. Virtual levels do not count: a result is the same without them.
        """
        for level in reversed(range(1, self._n_stored())):
            array = self.levels[level]
            across = [
                shrink_factor(n, int(array.shape[self.array_axes.index(a)]))
                for n, a in zip(self.plane_shape, self.plane_axes, strict=True)
            ]
            if max(*self.downsample(level), *across) * scale <= 1 + 1e-6:
                return level
        return 0

    def displaying(self, vertical: str, horizontal: str) -> ImageSource:
        """Return the same image with other axes as the plane: ``displaying("z", "x")`` is xz.

        The axis `vertical` runs down and is called y from here on, `horizontal` runs across and
        is called x; the axes that were y and x get the letters that become free. Of an image
        ``zyx`` that is displayed by z and x the plane axis is z again, but its indices are those
        of y. Channels, scale, units and the pyramid are kept, except for levels that are smaller
        along neither of the two axes. Nothing is read, and closing either image closes both.

        Parameters
        ----------
        vertical, horizontal : str
            Two different letters of `axes`, such as "z" and "x"; not "c".

        Raises
        ------
        HQSAMError
            If the image has no such axes.
        """
        axes = displayed_axes(self.axes, vertical, horizontal)
        kept = [i for i, a in enumerate(axes) if a in "yx" or self.shape[i] > 1]
        turned = copy(self)
        turned.array_axes = displayed_axes(self.array_axes, vertical, horizontal)
        turned.axes = "".join(axes[i] for i in kept)
        turned.shape = tuple(self.shape[i] for i in kept)
        turned.scale = self.scale and tuple(self.scale[i] for i in kept)
        turned.units = self.units and tuple(self.units[i] for i in kept)
        lengths = dict(zip(turned.axes, turned.shape, strict=True))
        turned.plane_axes = "".join(a for a in turned.axes if a not in "yxc")
        turned.plane_shape = tuple(lengths[a] for a in turned.plane_axes)
        levels = [self.levels[0]]
        for level in self.levels[1:]:
            finer = zip(turned.array_axes, level.shape, levels[-1].shape, strict=True)
            if any(n < m for a, n, m in finer if a in "yx"):
                levels.append(level)
        turned.levels = tuple(levels)
        number = dict(zip(self.plane_axes + "yx", self._orientation, strict=True))
        before = dict(zip(turned.array_axes, self.array_axes, strict=True))
        turned._upright = self.upright
        turned._orientation = tuple(number[before[a]] for a in turned.plane_axes + "yx")
        return turned

    @property
    def upright(self) -> ImageSource:
        """The image as it was opened, before `displaying` turned it."""
        return self._upright or self

    def fingerprint(self) -> dict[str, Any]:
        """Describe which pixels this image shows, without saying where it lies.

        Two images with the same fingerprint are read alike: a file and the napari layer that
        shows one of its channels, or a file and its copy. What their pixels are is not in it.

        Returns
        -------
        dict
            Of JSON's types: ``"shapes"`` of all stored levels along `plane_axes`, y, x;
            ``"axes"``, how these were numbered when the image was opened (0, 1, 2 unless
            `displaying` has turned it); ``"dtype"``, ``"channels"`` and ``"rgb"``.
        """
        letters = self.plane_axes + "yx"
        where = [self.array_axes.index(a) for a in letters]
        stored = self.levels[: self._n_stored()]
        return {
            "shapes": [[int(level.shape[i]) for i in where] for level in stored],
            "axes": list(self._orientation),
            "dtype": self.dtype.name,
            "channels": [int(self._numbers[c]) for c in self.channels],
            "rgb": bool(self.rgb),
        }

    def check_plane(self, plane: Sequence[int]) -> tuple[int, ...]:
        """Return `plane` as ints, or raise HQSAMError if it is no plane of this image."""
        return check_plane(plane, self.plane_axes, self.plane_shape, self.name)

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
        requests: list[dict[str, Any]] = []
        for plane, y0, x0, y1, x1 in boxes:
            if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
                raise HQSAMError(
                    f"{self.name}: the box {y0},{x0},{y1},{x1} is outside the plane of "
                    f"{height} x {width} pixels"
                )
            box = {"y": slice(int(y0), int(y1)), "x": slice(int(x0), int(x1))}
            requests.append(box | self._plane_index(plane, array))
        where = str(self.path or self.name)
        return read_boxes(array, self.array_axes, requests, self.channels, self.dtype, where)

    def close(self) -> None:
        """Close the file behind the image; nothing can be read afterwards."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> ImageSource:
        return self

    def __exit__(self, *error: object) -> None:
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

    def _n_stored(self) -> int:
        return sum(not isinstance(level, VirtualLevel) for level in self.levels)

    def _plane_index(self, plane: Sequence[int], array: Any) -> dict[str, Any]:
        """Index of a plane in the array of a level, whose z may be shrunk as well."""
        index: dict[str, Any] = {}
        checked = self.check_plane(plane)
        for i, axis, length in zip(checked, self.plane_axes, self.plane_shape, strict=True):
            here = int(array.shape[self.array_axes.index(axis)])
            index[axis] = (2 * i + 1) * here // (2 * length)
        return index
