"""Size and shape of a mask in two or three dimensions, on pixels that need not be square."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.rows import Rows

Slices = Sequence[tuple[int, Rows]]
"""The masks of an object at one time point, with the z of each."""

_STRIP = 2**24  # pixels that are unpacked at once


@dataclass(frozen=True)
class Shape2D:
    """What is measured of an object on a single plane."""

    perimeter: float
    eccentricity: float
    circularity: float


def centroid(slices: Slices) -> tuple[float, float, float]:
    """(z, y, x) of the middle in pixels; whole numbers are pixel centres."""
    sums = np.zeros(3)
    for z, rows in slices:
        n = rows.x1 - rows.x0
        sums += n.sum() * z, (n * rows.y).sum(), (n * (rows.x0 + rows.x1 - 1)).sum() / 2
    z, y, x = (sums / sum(rows.area for _, rows in slices)).tolist()
    return z, y, x


def shape_2d(rows: Rows, steps: tuple[float, float]) -> Shape2D:
    """Perimeter, eccentricity and circularity of a mask.

    Parameters
    ----------
    rows : Rows
    steps : (float, float)
        Between pixels along y and x.
    """
    around = perimeter(rows, steps)
    area = rows.area * steps[0] * steps[1]
    # few pixels make a perimeter shorter than that of a disc of their area
    return Shape2D(around, eccentricity(rows, steps), min(4 * math.pi * area / around**2, 1.0))


def perimeter(rows: Rows, steps: tuple[float, float]) -> float:
    """Length of the outline, with those of holes, by Crofton's formula in four directions.

    Lines along rows, columns and two diagonals count how often they meet the outline; each counts
    for the angles nearest to its own. The diagonals are the steps of pixels that come nearest to
    45° (of pixels twice as high as wide: one down, two across). It is some 5 % short at most,
    except for objects of few pixels, and on square pixels it is
    `skimage.measure.perimeter_crofton`.
    """
    dy, dx = steps
    down, right = max(1, round(dx / dy)), max(1, round(dy / dx))
    y0, x0, y1, x1 = rows.bbox
    across, along, diagonal = 2 * len(rows.y), 0, 0
    height = max(1, _STRIP // (x1 - x0 + 2 * right))
    for top in range(y0 - down, y1, height):
        n = min(height, y1 - top)
        mask = rows.dense((top, x0 - right, top + n + down, x1 + right))
        upper, lower = mask[:n], mask[down:]
        along += int((upper != mask[1 : n + 1]).sum())
        diagonal += int((upper[:, right:] != lower[:, :-right]).sum())
        diagonal += int((upper[:, :-right] != lower[:, right:]).sum())
    slope = math.atan2(down * dy, right * dx)
    apart = dy * dx / math.hypot(down * dy, right * dx)
    # meetings × distance of the lines × angle, halved
    total = across * dy * slope + along * dx * (math.pi / 2 - slope)
    return (total + diagonal * apart * math.pi / 4) / 2


def eccentricity(rows: Rows, steps: tuple[float, float]) -> float:
    """That of the ellipse with the same second moments: 0 of a disc, towards 1 of a line.

    As scikit-image's `regionprops` has it.
    """
    dy, dx = steps
    n = (rows.x1 - rows.x0).astype(float)
    middle = (rows.x0 + rows.x1 - 1) / 2
    y = (rows.y - (n * rows.y).sum() / n.sum()) * dy
    x = (middle - (n * middle).sum() / n.sum()) * dx
    yy = (n * y**2).sum()
    xx = (n * x**2 + n * (n**2 - 1) / 12 * dx**2).sum()
    xy = (n * y * x).sum()
    half, apart = (yy + xx) / 2, math.hypot((yy - xx) / 2, xy)
    longer, shorter = half + apart, max(half - apart, 0.0)
    return math.sqrt(1 - shorter / longer) if longer > 0 else 0.0


def feret_and_hull(slices: Slices, steps: Sequence[float]) -> tuple[float, float]:
    """Largest distance between two corners of pixels, and area or volume of their convex hull.

    As ImageJ has it: a pixel of 1 by 1 has a Feret diameter of √2.

    Parameters
    ----------
    slices : Slices
        One for an area, several for a volume.
    steps : sequence of float
        Along (y, x) for an area, (z, y, x) for a volume.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    *deep, dy, dx = steps
    corners = []
    for z, rows in slices:
        flat = _corners(rows) * (dy, dx)
        flat = flat[ConvexHull(flat).vertices]
        if not deep:
            corners.append(flat)
        for at in (z, z + 1) if deep else ():
            corners.append(np.column_stack([np.full(len(flat), at * deep[0]), flat]))
    points = np.concatenate(corners)
    hull = ConvexHull(points)
    return float(pdist(points[hull.vertices]).max()), float(hull.volume)


def _corners(rows: Rows) -> NDArray[Any]:
    """(n, 2) corners (y, x) of pixels, the outermost of each row."""
    first = np.flatnonzero(np.concatenate(([True], rows.y[1:] != rows.y[:-1])))
    last = np.append(first[1:], len(rows.y)) - 1
    y, left, right = rows.y[first], rows.x0[first], rows.x1[last]
    return np.stack([np.tile([y, y + 1], 2).ravel(), np.concatenate([left, right] * 2)], axis=1)
