"""Planes divided into cells that touch, and the distance to the walls between them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_hqsam.training.synthetic.fields import Field, smooth


def tessellate(
    rng: np.random.Generator,
    size: int,
    spacing: float,
    *,
    regular: float = 0.5,
    unequal: float = 0.0,
    merged: float = 0.0,
    bent: float = 0.2,
    stretch: float = 1.0,
) -> np.ndarray:
    """Divide a plane.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    spacing : float
        Mean distance between centres, in pixels.
    regular : float
        0 for centres anywhere, 1 for a lattice.
    unequal : float
        0 for cells of one size, 1 for places of small cells between large ones.
    merged : float
        Share of cells that are joined to a neighbour, which gives shapes with bays and necks.
    bent : float
        How far walls deviate from straight, in parts of `spacing`.
    stretch : float
        Elongation of the cells along a random direction.

    Returns
    -------
    ndarray
        (size, size) int32, 1..N.
    """
    pad = int(2 * spacing) + 2
    side = size + 2 * pad
    count = int(np.ceil(side / spacing))
    lattice = np.argwhere(np.ones((count, count), bool)).astype(float)
    lattice[:, 0] += 0.5 * (lattice[:, 1] % 2)
    jitter = rng.uniform(-0.5, 0.5, lattice.shape) * (1 - 0.8 * regular) * 1.6
    seeds = (lattice + 0.5 + jitter) * spacing
    if unequal > 0:
        extra = rng.uniform(0, side, (int(len(seeds) * 2.5 * unequal), 2))
        hubs = rng.uniform(0, side, (max(len(seeds) // 12, 2), 2))
        near = np.hypot(*(extra[:, None] - hubs[None]).transpose(2, 0, 1)).min(axis=1)
        seeds = np.concatenate([seeds, extra[near < 1.3 * spacing]])
    cells = np.clip(np.rint(seeds), 0, side - 1).astype(np.int64)
    numbers = np.zeros((side, side), np.int32)
    numbers[cells[:, 0], cells[:, 1]] = _numbers(rng, seeds, merged)
    nearest = ndimage.distance_transform_edt(
        numbers == 0, return_distances=False, return_indices=True
    )
    numbers = numbers[nearest[0], nearest[1]]

    steps = np.arange(size, dtype=np.float32) - np.float32(size / 2)
    y, x = np.broadcast_to(steps[:, None], (size, size)), np.broadcast_to(steps, (size, size))
    if stretch > 1:
        angle = rng.uniform(0, np.pi)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along = (cos * x + sin * y) / np.float32(stretch)
        across = cos * y - sin * x
        y, x = sin * along + cos * across, cos * along - sin * across
    amount = np.float32(bent * spacing)
    y = y + amount * (smooth(rng, size, spacing) + 0.3 * smooth(rng, size, max(spacing / 3, 4)))
    x = x + amount * (smooth(rng, size, spacing) + 0.3 * smooth(rng, size, max(spacing / 3, 4)))
    rows, columns = (np.clip(np.rint(c + side / 2), 0, side - 1).astype(np.intp) for c in (y, x))
    return numbers[rows, columns]


def _numbers(rng: np.random.Generator, seeds: np.ndarray, merged: float) -> np.ndarray:
    """A number for each seed; some take that of the nearest one."""
    numbers = np.arange(1, len(seeds) + 1, dtype=np.int32)
    if merged <= 0:
        return numbers
    from scipy.spatial import cKDTree

    _, neighbours = cKDTree(seeds).query(seeds, k=2)
    for i in np.flatnonzero(rng.random(len(seeds)) < merged):
        numbers[i] = numbers[neighbours[i, 1]]
    return numbers


def wall_distance(cells: np.ndarray, reach: float = 4.0) -> Field:
    """Distance in pixels to the nearest wall between cells, good to about `reach`.

    It is read from a blurred drawing of the walls, which rounds the corners as surface tension
    does.
    """
    walls = np.zeros(cells.shape, np.float32)
    down = cells[1:] != cells[:-1]
    walls[1:][down] = 1
    walls[:-1][down] = 1
    across = cells[:, 1:] != cells[:, :-1]
    walls[:, 1:][across] = 1
    walls[:, :-1][across] = 1
    sigma = max(reach / 3, 0.8)
    blurred = ndimage.gaussian_filter(walls, sigma, output=np.float32, truncate=4)
    peak = 2 / (sigma * np.sqrt(2 * np.pi) + 1)
    ratio = np.clip(blurred / np.float32(peak), 1e-4, 1)
    return (np.float32(sigma) * np.sqrt(-2 * np.log(ratio))).astype(np.float32)
