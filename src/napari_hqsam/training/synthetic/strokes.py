"""Curves, branching trees of them, and the signed distance to what a round brush paints."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from napari_hqsam.training.synthetic.fields import Field

Window = tuple[slice, slice]
# Distance in pixels between neighbouring points of a curve.
STEP = 0.6


class Curve(NamedTuple):
    """A centre line.

    Attributes
    ----------
    points : ndarray
        (P, 2), y and x in pixels, `STEP` apart.
    radius : ndarray
        (P,) in pixels.
    """

    points: np.ndarray
    radius: np.ndarray


def curve(
    rng: np.random.Generator,
    start: np.ndarray,
    heading: float,
    length: float,
    radius: tuple[float, float],
    *,
    bend: float = 0.5,
    scale: float = 40.0,
) -> Curve:
    """A meandering curve.

    Parameters
    ----------
    rng : Generator
    start : ndarray
        (y, x).
    heading : float
        Direction at the start, radians.
    length : float
        In pixels.
    radius : (float, float)
        At the start and at the end.
    bend : float
        Standard deviation of the direction, in radians, over `scale`.
    scale : float
        Pixels over which the direction changes.
    """
    count = max(int(length / STEP), 3)
    knots = rng.standard_normal(max(int(length / scale), 1) + 2) * bend
    turning = np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    ripple = rng.standard_normal(max(int(4 * length / scale), 1) + 2) * bend * 0.3
    ripple = np.interp(np.linspace(0, len(ripple) - 1, count), np.arange(len(ripple)), ripple)
    direction = heading + np.cumsum(turning) * STEP / scale + ripple
    steps = np.stack([np.sin(direction), np.cos(direction)], axis=1) * STEP
    return Curve(start + np.cumsum(steps, axis=0), np.linspace(*radius, count))


def grow(
    rng: np.random.Generator,
    trunk: Curve,
    *,
    spacing: float,
    spread: tuple[float, float] = (0.4, 1.1),
    shrink: tuple[float, float] = (0.55, 0.85),
    length: tuple[float, float] = (0.4, 0.9),
    least: float = 0.5,
    taper: float = 0.6,
    bend: float = 0.6,
    scale: float = 40.0,
    most: int = 80,
) -> list[Curve]:
    """A tree: the trunk, its branches, theirs, and so on.

    Parameters
    ----------
    rng : Generator
    trunk : Curve
    spacing : float
        Pixels between branches, on average.
    spread : (float, float)
        Angle between a branch and what it leaves, radians, from and to.
    shrink : (float, float)
        Radius of a branch in parts of the radius where it leaves.
    length : (float, float)
        Length of a branch in parts of the one it leaves.
    least : float
        Smallest radius, in pixels.
    taper : float
        Radius at the end of a branch in parts of that at its start.
    bend, scale : float
        As for `curve`.
    most : int
        Number of curves at which growth stops.
    """
    tree = [trunk]
    queue = deque([trunk])
    while queue and len(tree) < most:
        parent = queue.popleft()
        extent = len(parent.points) * STEP
        for _ in range(rng.poisson(extent / spacing)):
            at = int(rng.uniform(0.08, 0.97) * (len(parent.points) - 2))
            radius = parent.radius[at] * rng.uniform(*shrink)
            if len(tree) >= most or extent < 12:
                break
            dy, dx = parent.points[at + 1] - parent.points[at]
            side = 1 if rng.random() < 0.5 else -1
            child = curve(
                rng,
                parent.points[at],
                np.arctan2(dy, dx) + side * rng.uniform(*spread),
                extent * rng.uniform(*length),
                (max(radius, least), max(radius * taper, least)),
                bend=bend,
                scale=scale,
            )
            tree.append(child)
            queue.append(child)
    return tree


def joined(curves: list[Curve]) -> Curve:
    """All points of several curves as one set."""
    return Curve(
        np.concatenate([c.points for c in curves]), np.concatenate([c.radius for c in curves])
    )


def paint(line: Curve, size: int, margin: float = 2.0) -> tuple[Window, Field]:
    """Signed distance to what a round brush paints along a curve.

    Parameters
    ----------
    line : Curve
    size : int
        Side of the plane.
    margin : float
        How far outside the distance is known, in pixels; farther off it is `margin`.

    Returns
    -------
    window : (slice, slice)
        The part of the plane that the stroke touches.
    distance : ndarray
        In that window, pixels, negative inside the stroke.
    """
    reach = np.ceil(line.radius + margin).astype(int) + 1
    cell = np.rint(line.points).astype(int)
    near = ((cell > -reach[:, None]) & (cell < size + reach[:, None])).all(axis=1)
    # A thick stroke needs fewer dabs.
    stride = np.maximum((line.radius / 4 / STEP).astype(int), 1)
    near &= np.arange(len(cell)) % stride == 0
    if not near.any():
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32)
    points, radius, reach, cell = line.points[near], line.radius[near], reach[near], cell[near]
    pad = int(reach.max())
    low = np.clip(cell.min(axis=0) - pad, 0, size)
    high = np.clip(cell.max(axis=0) + pad + 1, 0, size)
    # A dab may reach past the window by twice its own reach where it lies beyond the border.
    edge = 2 * pad
    height, width = high - low + 2 * edge
    plane = np.full(height * width, margin, np.float32)
    offset = (points - cell).astype(np.float32)
    origin = (cell[:, 0] - low[0] + edge) * width + cell[:, 1] - low[1] + edge
    for k in np.unique(reach):
        chosen = reach == k
        o = np.arange(-k, k + 1, dtype=np.float32)
        dy = (o - offset[chosen, :1]) ** 2
        dx = (o - offset[chosen, 1:]) ** 2
        distance = np.sqrt(dy[:, :, None] + dx[:, None, :])
        distance -= radius[chosen, None, None].astype(np.float32)
        shift = (np.arange(-k, k + 1)[:, None] * width + np.arange(-k, k + 1)).ravel()
        index = origin[chosen, None] + shift
        np.minimum.at(plane, index.ravel(), distance.ravel())
    plane2d = plane.reshape(height, width)[edge : height - edge, edge : width - edge]
    return (slice(low[0], high[0]), slice(low[1], high[1])), plane2d


def painted(line: Curve, size: int, margin: float = 2.0) -> Field:
    """`paint` on the whole plane (size, size)."""
    plane = np.full((size, size), margin, np.float32)
    window, distance = paint(line, size, margin)
    plane[window] = distance
    return plane
