"""The outlines of masks along the edges of their pixels, and what lies inside a polygon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.rows import Ints, Rows

Polygon = list[NDArray[Any]]
"""Rings (n, 2) of (y, x), not closed: the outer one, then its holes."""


def outlines(rows: Rows) -> list[Polygon]:
    """Trace the parts of a mask, with their holes.

    A coordinate is a corner of pixels: pixel (y, x) covers y to y + 1 and x to x + 1. Only corners
    where the outline turns are given. Pixels that touch at a corner alone belong to different
    parts. Rings do not cross, and meet in single points at most, so that the polygons are valid
    ones (OGC simple features).

    Parameters
    ----------
    rows : Rows

    Returns
    -------
    list of Polygon
        Of int64. Seen with y upwards, the outer ring runs counterclockwise and holes clockwise,
        as RFC 7946 has it.
    """
    if len(rows.y) == 0:
        return []
    y, x, columns, following = _corners(rows)
    traced = _cycles(following)
    place = (y * (int(x.max()) + 1) + x).tolist()
    loops = [(k, loop) for k, ring in enumerate(traced) for loop in _simple(ring, place)]
    rings = [np.stack([y[loop], x[loop]], axis=1) for _, loop in loops]
    outer = [_area(ring) > 0 for ring in rings]
    if all(outer):
        return [[ring] for ring in rings]
    part_of = [0] * len(traced)
    if sum(outer) > 1:
        part_of = _parts(rows, y, x, columns, traced)
    parts = [part_of[k] for k, _ in loops]
    polygons: dict[int, Polygon] = {}
    for k in sorted(range(len(rings)), key=lambda k: not outer[k]):  # holes come last
        polygons.setdefault(parts[k], []).append(rings[k])
    return list(polygons.values())


def fill(polygon: Sequence[NDArray[Any]], shape: tuple[int, int]) -> Rows:
    """The pixels of a plane whose centres lie in a polygon.

    The centre of pixel (y, x) is (y + 0.5, x + 0.5). A centre on an edge belongs to what is right
    of or below it, so that polygons with an edge in common share no pixel. What `outlines` gave
    is filled as it was.

    Parameters
    ----------
    polygon : sequence of ndarray
        Rings (n, 2) of (y, x), closed or not, of finite numbers. What lies within two of them is
        outside again.
    shape : (int, int)
        Height and width of the plane; nothing beyond is filled.
    """
    height, width = shape
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for ring in polygon:
        a = np.asarray(ring, dtype=float)
        b = np.roll(a, -1, axis=0)
        (ya, xa), (yb, xb) = a.T, b.T
        # the rows whose centres an edge passes: its upper end counts, its lower one does not
        first, last = (
            np.ceil(np.clip(end - 0.5, 0, height)).astype(np.int64)
            for end in (np.minimum(ya, yb), np.maximum(ya, yb))
        )
        count = last - first
        edge = np.repeat(np.arange(len(a)), count)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        along = (row + 0.5 - ya[edge]) / (yb - ya)[edge]
        crossing = xa[edge] + along * (xb - xa)[edge]
        rows.append(row)
        columns.append(np.ceil(np.clip(crossing - 0.5, 0, width)).astype(np.int64))
    y, x = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((x, y))
    y, x = y[order], x[order]
    return Rows.of(y[::2], x[::2], x[1::2])  # a closed ring passes a row an even number of times


def _corners(rows: Rows) -> tuple[Ints, Ints, Ints, Ints]:
    """The corners of an outline, their order by columns, and which one follows each."""
    y, x, begins, below = rows.corners()
    index = np.arange(len(y))
    # as `corners` are paired along rows, these are along columns
    columns = np.lexsort((below, y, x))
    down = np.empty_like(index)
    down[columns[::2]], down[columns[1::2]] = columns[1::2], columns[::2]
    # along the upper edge of a pixel to the right, along its lower edge to the left
    left_end = index & ~1
    upper = begins[left_end] == below[left_end]
    return y, x, columns, np.where((index % 2 == 0) == upper, index ^ 1, down)


def _cycles(following: Ints) -> list[list[int]]:
    after = following.tolist()
    unseen = [True] * len(after)
    cycles = []
    for begin in range(len(after)):
        if unseen[begin]:
            cycle, here = [], begin
            while unseen[here]:
                unseen[here] = False
                cycle.append(here)
                here = after[here]
            cycles.append(cycle)
    return cycles


def _simple(ring: list[int], place: list[int]) -> list[list[int]]:
    """Cut a ring where it meets itself."""
    if len({place[corner] for corner in ring}) == len(ring):
        return [ring]
    loops: list[list[int]] = []
    path: list[int] = []
    position: dict[int, int] = {}
    for corner in ring:
        begin = position.get(place[corner])
        if begin is not None:
            loops.append(path[begin:])
            for old in path[begin:]:
                del position[place[old]]
            del path[begin:]
        position[place[corner]] = len(path)
        path.append(corner)
    return [*loops, path]


def _parts(rows: Rows, y: Ints, x: Ints, columns: Ints, traced: list[list[int]]) -> list[int]:
    """For each traced ring its part: a run begins and ends on rings of the same one.

    To the left of a hole, the runs lead from ring to ring until the outer one.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ring_of = np.empty(len(y), np.int64)
    for k, ring in enumerate(traced):
        ring_of[ring] = k
    tops = columns[::2]  # upper ends of the vertical edges, by column and row
    tall = int(y.max()) + 1
    keys = x[tops] * tall + y[tops]
    ends = tuple(
        ring_of[tops[np.searchsorted(keys, column * tall + rows.y, side="right") - 1]]
        for column in (rows.x0, rows.x1)
    )
    links = coo_array((np.ones(len(rows.y)), ends), shape=(len(traced), len(traced)))
    return [int(part) for part in connected_components(links, directed=False)[1]]


def _area(ring: NDArray[Any]) -> int:
    """Twice the area, positive if the ring runs counterclockwise with y upwards."""
    y, x = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
