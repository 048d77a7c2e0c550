"""Windows: which part of a plane the network looks at, and at which magnification.

A window is a square of the plane that is brought to the model's input of S × S pixels. It may be
shrunk (an object larger than S), 1:1, or magnified (a nucleus of 20 pixels would be five pixels
of a mask at 1:1). Coordinates are (y, x); integers are pixel centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError

Box = tuple[float, float, float, float]
"""(y0, x0, y1, x1) in pixels of a plane, half-open."""

MAX_MAGNIFICATION = 8
# Neighbours of a grid share this part of their side: a multiple of 1/4 puts a grid's windows among
# those that `window_around` chooses from.
OVERLAP = 0.25
# A window is at least this many times as large as its object, so that there is context to see.
CONTEXT = 1.6
# Origins lie on a grid of this share of the side, so that a moved box keeps its window.
_GRID = 4


@dataclass(frozen=True)
class Window:
    """A square of one plane, brought to S × S model pixels.

    Attributes
    ----------
    plane : tuple of int
        Indices of the axes other than y, x, c.
    level : int
        Pyramid level that is read.
    origin : tuple of int
        (y, x) of the first pixel, in pixels of that level.
    side : int
        Length of the square in pixels of that level. It may reach beyond the plane's lower and
        right edge; what lies there is padding.
    shape : tuple of int
        (height, width) of the part inside the plane.
    input_size : int
        S.
    """

    plane: tuple[int, ...]
    level: int
    origin: tuple[int, int]
    side: int
    shape: tuple[int, int]
    input_size: int

    @property
    def scale(self) -> float:
        """Model pixels per pixel of the image."""
        return self.input_size / self.side

    @property
    def model_shape(self) -> tuple[int, int]:
        """(height, width) of the part inside the plane in model pixels, rounded as SAM does."""
        h, w = (min(self.input_size, max(1, int(n * self.scale + 0.5))) for n in self.shape)
        return h, w

    def to_model(self, points: ArrayLike) -> NDArray[np.float32]:
        """Map points (N, 2), (y, x) in pixels of the image, to (x, y) in model pixels."""
        yx = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        scale = np.divide(self.model_shape, self.shape)
        model = (yx - self.origin + 0.5) * scale - 0.5
        return model[:, ::-1].astype(np.float32)

    def meets(self, box: Box) -> bool:
        """Whether a box of its plane, (y0, x0, y1, x1), half-open, has pixels of this window."""
        (y, x), (h, w) = self.origin, self.shape
        return y < box[2] and x < box[3] and y + h > box[0] and x + w > box[1]

    def contains(self, points: ArrayLike) -> bool:
        """Whether all points (N, 2), (y, x), lie on pixels of this window."""
        yx = np.asarray(points, dtype=np.float64).reshape(-1, 2) - self.origin
        return bool(((yx >= -0.5) & (yx <= np.subtract(self.shape, 0.5))).all())


def whole_plane(
    plane_shape: tuple[int, int], input_size: int, plane: tuple[int, ...] = (), level: int = 0
) -> Window:
    """The window that shows the whole plane: SAM's own way."""
    side = max(*plane_shape, math.ceil(input_size / MAX_MAGNIFICATION))
    return Window(plane, level, (0, 0), side, plane_shape, input_size)


def window_around(
    lower: ArrayLike,
    upper: ArrayLike,
    plane_shape: tuple[int, int],
    input_size: int,
    plane: tuple[int, ...] = (),
    level: int = 0,
    *,
    smallest: int = 0,
) -> Window:
    """The window for an object that spans `lower` to `upper`.

    Its side is S times a power of two, the smallest that is `CONTEXT` times the object, and
    its origin lies on a grid: an object whose box moves a little keeps its window.

    Parameters
    ----------
    lower, upper : array-like
        (y, x) of the object's box, in pixels of the image.
    plane_shape : tuple of int
        (height, width) of the plane.
    input_size : int
        S.
    plane, level
        As for `Window`.
    smallest : int
        Least side; a click says where an object is, not how large.
    """
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    extent = float((upper - lower).max()) + 1  # both ends are pixels of the object
    need = max(CONTEXT * extent, smallest)
    octave = max(math.ceil(math.log2(need / input_size)), -round(math.log2(MAX_MAGNIFICATION)))
    side = round(input_size * 2.0**octave)
    if side >= max(plane_shape):
        return whole_plane(plane_shape, input_size, plane, level)
    centre = (lower + upper) / 2 + 0.5
    step = side // _GRID
    origin = []
    for c, n in zip(centre, plane_shape, strict=True):
        start = round((c - side / 2) / step) * step
        origin.append(int(min(max(start, 0), max(n - side, 0))))
    shape = tuple(min(side, n - o) for n, o in zip(plane_shape, origin, strict=True))
    return Window(plane, level, (origin[0], origin[1]), side, (shape[0], shape[1]), input_size)


def grid(
    plane_shape: tuple[int, int],
    input_size: int,
    octave: int = 0,
    *,
    overlap: float = OVERLAP,
    plane: tuple[int, ...] = (),
    level: int = 0,
    region: Box | None = None,
) -> list[Window]:
    """Windows that cover a plane; those at its lower and right edge are shifted inside.

    The grid depends on the plane alone: two regions that touch share windows.

    Parameters
    ----------
    plane_shape : tuple of int
        (height, width) of the plane.
    input_size : int
        S.
    octave : int
        A window's side is S · 2**octave: 0 is 1:1, above it the image is shrunk, below magnified.
    overlap : float
        Of neighbours, as a share of the side; 0 ≤ overlap < 1.
    plane, level
        As for `Window`.
    region : (y0, x0, y1, x1), optional
        Half-open, in pixels: only the windows that meet it.

    Returns
    -------
    list of Window
        Row by row. One window with the whole plane if it is no larger than a side.

    Raises
    ------
    HQSAMError
        If `overlap` is out of range.
    """
    if not 0 <= overlap < 1:
        raise HQSAMError(f"overlap {overlap}: give a share of the window's side, 0 up to below 1")
    side = round(input_size * 2.0**octave)
    if side >= max(plane_shape):
        return [whole_plane(plane_shape, input_size, plane, level)]
    step = max(1, round(side * (1 - overlap)))
    low, high = (0.0, 0.0), tuple(float(n) for n in plane_shape)
    if region is not None:
        low, high = region[:2], region[2:]
    starts = []
    for n, a, b in zip(plane_shape, low, high, strict=True):
        last = max(n - side, 0)
        count = math.ceil(last / step) + 1
        first = max(0, math.floor((min(a, n - 1) - side) / step))
        stop = min(count, math.ceil(b / step) + 1)
        at = [min(i * step, last) for i in range(first, stop)]
        at += [last] if stop >= count - 1 and last not in at else []
        starts.append(at)
    windows = [
        Window(
            plane,
            level,
            (y, x),
            side,
            (min(side, plane_shape[0] - y), min(side, plane_shape[1] - x)),
            input_size,
        )
        for y in starts[0]
        for x in starts[1]
    ]
    return [w for w in windows if region is None or w.meets(region)]
