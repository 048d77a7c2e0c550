"""Which windows of a plane are looked at for objects of a size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_hqsam.images.windows import MAX_MAGNIFICATION, OVERLAP, Box, Window, grid

# Of a window's side an object spans at most this: as much as neighbours overlap, so that one of
# them shows it whole.
LARGEST = OVERLAP

_SMALLEST_OCTAVE = -round(math.log2(MAX_MAGNIFICATION))


def octave_for(extent: float, input_size: int) -> int:
    """The smallest octave (see `grid`) in whose windows an object spans a quarter of the side.

    Parameters
    ----------
    extent : float
        Of the object, in pixels.
    input_size : int
        S.
    """
    needed = math.log2(max(extent, 1e-6) / (LARGEST * input_size))
    return max(math.ceil(needed - 1e-9), _SMALLEST_OCTAVE)


def windows_of(
    shape: tuple[int, int],
    input_size: int,
    level: int,
    octaves: Sequence[int],
    planes: Sequence[Sequence[int]],
    region: Box | None,
) -> list[Window]:
    """The windows of several octaves that meet a region, plane by plane.

    Parameters
    ----------
    shape : tuple of int
        (height, width) of a plane.
    input_size : int
        S.
    level : int
    octaves : sequence of int
    planes : sequence of tuple of int
    region : (y0, x0, y1, x1) or None
    """
    found = (
        window
        for plane in planes
        for octave in octaves
        for window in grid(
            shape, input_size, octave, plane=tuple(plane), level=level, region=region
        )
    )
    return list(dict.fromkeys(found))  # octaves beyond the plane are all the whole plane


def octaves_of(diameter: float | None, crops: int, input_size: int) -> list[int]:
    """Octaves for objects of a diameter, and as many below it as there are crops."""
    first = 0 if diameter is None else octave_for(diameter, input_size)
    wanted = (max(first - i, _SMALLEST_OCTAVE) for i in range(crops + 1))
    return list(dict.fromkeys(wanted))


def all_octaves(shape: tuple[int, int], input_size: int) -> range:
    """From the most magnified windows to the whole plane in one."""
    return range(_SMALLEST_OCTAVE, max(math.ceil(math.log2(max(shape) / input_size)), 0) + 1)


def window_of(
    box: Box,
    shape: tuple[int, int],
    input_size: int,
    plane: tuple[int, ...] = (),
    level: int = 0,
    octave: int | None = None,
) -> Window:
    """The window of a grid that shows a box whole, and nearest to its middle.

    Parameters
    ----------
    box : tuple of float
        (y0, x0, y1, x1), half-open, within the plane.
    shape, input_size, plane, level
        As for `grid`.
    octave : int, optional
        Of the grid; by default the smallest in which the box spans a quarter of the side.
    """
    y0, x0, y1, x1 = box
    if octave is None:
        octave = octave_for(max(y1 - y0, x1 - x0), input_size)
    near = grid(shape, input_size, octave, plane=plane, level=level, region=box)
    middle = np.array([y0 + y1, x0 + x1]) / 2

    def off(window: Window) -> tuple[bool, float, tuple[int, int]]:
        (y, x), (h, w) = window.origin, window.shape
        cuts = y > y0 or x > x0 or y + h < y1 or x + w < x1
        distance = middle - np.add(window.origin, np.divide(window.side, 2))
        return cuts, float(np.hypot(*distance)), window.origin

    return min(near, key=off)
