"""Rounded bodies: ellipses on a grid that is bent at random, so that no two are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_hqsam.training.synthetic.fields import Field, smooth
from napari_hqsam.training.synthetic.strokes import Window


class BentGrid:
    """Pixel coordinates, displaced smoothly.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    amount : float
        Displacement in pixels, standard deviation.
    scale : float
        Pixels over which it changes.
    """

    def __init__(self, rng: np.random.Generator, size: int, amount: float, scale: float) -> None:
        steps = np.arange(size, dtype=np.float32)
        shift = [np.float32(amount) * smooth(rng, size, scale) for _ in range(2)]
        self.size = size
        self.y, self.x = steps[:, None] + shift[0], steps[None] + shift[1]
        self.reach = 3 * amount

    def ellipse(
        self,
        centre: Sequence[float],
        radii: Sequence[float],
        angle: float,
        margin: float = 3.0,
        window: Window | None = None,
    ) -> tuple[Window, Field]:
        """Signed distance to an ellipse, about, in pixels and negative inside.

        Parameters
        ----------
        centre : sequence of float
            y, x.
        radii : sequence of float
            Half axes, the one along `angle` first.
        angle : float
            Of the first axis to x, radians.
        margin : float
            How far around the ellipse the window goes, in pixels.
        window : (slice, slice), optional
            Where to measure, instead.
        """
        if window is None:
            extent = max(radii) + margin + self.reach
            rows, columns = (
                slice(max(int(c - extent), 0), min(max(int(c + extent) + 1, 0), self.size))
                for c in centre
            )
            window = (rows, columns)
        y, x = self.y[window] - np.float32(centre[0]), self.x[window] - np.float32(centre[1])
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along = (cos * x + sin * y) / np.float32(radii[0])
        across = (cos * y - sin * x) / np.float32(radii[1])
        return window, (np.sqrt(along**2 + across**2) - 1) * np.float32(min(radii))


def scatter(
    rng: np.random.Generator,
    size: int,
    radii: np.ndarray,
    *,
    apart: float,
    clusters: int = 0,
    tries: int = 6,
) -> tuple[np.ndarray, np.ndarray]:
    """Places for round bodies.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane; bodies may lie across its border.
    radii : ndarray
        (N,) in pixels.
    apart : float
        Least distance of two centres in parts of the sum of their radii.
    clusters : int
        Number of centres that they crowd around; 0 spreads them evenly.
    tries : int
        After so many places that are taken a body is left out.

    Returns
    -------
    centres : ndarray
        (M, 2), y and x.
    kept : ndarray
        (M,) indices into `radii`.
    """
    hubs = rng.uniform(0, size, (max(clusters, 1), 2))
    spread = rng.uniform(0.06, 0.2) * size
    centres = np.zeros((len(radii), 2))
    kept = np.zeros(len(radii), dtype=np.int64)
    count = 0
    for i, radius in enumerate(radii):
        if clusters:
            hub = hubs[rng.integers(len(hubs), size=tries)]
            places = hub + rng.normal(0, spread, (tries, 2))
        else:
            places = rng.uniform(-0.3 * radius, size + 0.3 * radius, (tries, 2))
        gaps = ((places[:, None] - centres[None, :count]) ** 2).sum(axis=2)
        least = apart * (radius + radii[kept[:count]])
        free = np.flatnonzero((gaps >= least**2).all(axis=1))
        if len(free):
            centres[count], kept[count] = places[free[0]], i
            count += 1
    return centres[:count], kept[:count]
