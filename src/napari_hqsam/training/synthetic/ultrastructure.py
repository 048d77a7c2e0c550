"""Tissue as electrons see it: cells between membranes, and the organelles in them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_hqsam.training.synthetic.fields import Field, log_uniform, smooth, texture
from napari_hqsam.training.synthetic.strokes import Curve, Window, curve, paint
from napari_hqsam.training.synthetic.tessellation import tessellate, wall_distance


class Tissue:
    """Cells with membranes and cytoplasm.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    spacing : float
        Mean distance between cells, in pixels.
    membrane : float
        Thickness of a wall, in pixels.

    Attributes
    ----------
    cells : ndarray
        (size, size) int32, 1..N.
    wall : ndarray
        Distance to the nearest wall in pixels, good near it.
    dense : ndarray
        How much metal there is, 0-1.
    """

    def __init__(
        self, rng: np.random.Generator, size: int, spacing: float, membrane: float
    ) -> None:
        self.rng, self.size = rng, size
        self.membrane = membrane
        self.cells = tessellate(
            rng,
            size,
            spacing,
            regular=rng.uniform(0, 0.6),
            unequal=rng.uniform(0, 1),
            merged=rng.uniform(0, 0.5),
            bent=rng.uniform(0.12, 0.3),
            stretch=rng.uniform(1, 2.5),
        )
        self.wall = wall_distance(self.cells, 2.5 * membrane + 2)
        level = rng.uniform(0.1, 0.3)
        levels = level + rng.normal(0, rng.uniform(0.01, 0.07), int(self.cells.max()) + 1)
        self.dense: Field = levels.astype(np.float32)[self.cells]
        self.dense += np.float32(rng.uniform(0.01, 0.05)) * texture(rng, size, 24, 1.5)
        # Deep inside at a quarter of the resolution, which finds room for organelles.
        coarse = self.cells[::4, ::4]
        edge = np.zeros(coarse.shape, bool)
        edge[1:] |= coarse[1:] != coarse[:-1]
        edge[:, 1:] |= coarse[:, 1:] != coarse[:, :-1]
        self._room = 4 * ndimage.distance_transform_edt(~edge)

    def places(self, count: int, room: float) -> np.ndarray:
        """Up to `count` points (N, 2) that are at least `room` pixels from a wall."""
        free = np.argwhere(self._room >= room)
        if len(free) == 0:
            return np.zeros((0, 2))
        chosen = free[self.rng.integers(len(free), size=count)]
        return chosen * 4 + self.rng.uniform(0, 4, chosen.shape)

    def body(self, line: Curve, gap: float) -> tuple[Window, Field]:
        """Signed distance to a body along `line`, kept `gap` pixels inside its cell."""
        window, distance = paint(line, self.size, 4.0)
        if distance.size == 0:
            return window, distance
        middle = np.clip(line.points[len(line.points) // 2].astype(int), 0, self.size - 1)
        own = self.cells[window] == self.cells[middle[0], middle[1]]
        wall = np.float32(gap) - self.wall[window]
        # The greater of both, rounded where they meet.
        both = 0.5 * (distance + wall + np.sqrt((distance - wall) ** 2 + np.float32(gap)))
        return window, np.where(own, both, np.float32(4))

    def _lying(self, place: np.ndarray, radius: float) -> Curve:
        """A line through `place` that stays in its cell, as wide as there is room for it."""
        rng = self.rng
        length = radius * log_uniform(rng, 0.4, 7)
        heading = rng.uniform(0, 2 * np.pi)
        start = place - length / 2 * np.array([np.sin(heading), np.cos(heading)])
        line = curve(rng, start, heading, length, (radius, radius), bend=0.5, scale=3 * radius)
        rows, columns = np.clip(line.points.astype(int), 0, self.size - 1).T
        row, column = np.clip(place.astype(int), 0, self.size - 1)
        room = self._room[rows // 4, columns // 4] - 2 - self.membrane / 2
        fits = (self.cells[rows, columns] == self.cells[row, column]) & (room > 0.35 * radius)
        middle = int(np.hypot(*(line.points - place).T).argmin())
        before, after = np.flatnonzero(~fits[:middle]), np.flatnonzero(~fits[middle:])
        first = before[-1] + 1 if len(before) else 0
        last = middle + max(after[0], 1) if len(after) else len(fits)
        width = ndimage.gaussian_filter1d(np.clip(room, 1, radius), 6)
        return Curve(line.points[first:last], width[first:last])

    def add_vesicles(self, count: int, radius: float) -> None:
        """Small round membranes in groups, as at a synapse."""
        hubs = self.places(max(count // 14, 1), radius)
        for hub in hubs:
            many = int(self.rng.integers(4, 24))
            near = hub + self.rng.normal(0, radius * 4, (many, 2))
            own = radius * self.rng.uniform(0.8, 1.2, many)
            window, distance = paint(Curve(near, own), self.size, 3.0)
            if distance.size:
                ring = np.exp(-(((distance + 0.5) / 0.9) ** 2)) * (self.wall[window] > radius)
                self._darken(window, ring, 0.35)

    def add_reticulum(self, count: int) -> None:
        """Short dark lines and dots: reticulum, tubules, ribosomes."""
        for place in self.places(count, 2 * self.membrane + 2):
            length = self.rng.uniform(2, 40)
            radius = (self.rng.uniform(0.3, 1.0),) * 2
            line = curve(
                self.rng, place, self.rng.uniform(0, 6.3), length, radius, bend=0.4, scale=12
            )
            window, distance = self.body(line, self.membrane + 1)
            self._darken(window, np.exp(-(((distance + 0.3) / 0.8) ** 2)), 0.3)

    def add_granules(self, amount: float) -> None:
        """Grain of the cytoplasm, in some cells more than in others."""
        share = self.rng.random(int(self.cells.max()) + 1).astype(np.float32)[self.cells]
        grain = smooth(self.rng, self.size, self.rng.uniform(1.3, 3))
        self.dense += np.float32(amount) * share * grain

    def add_membranes(self) -> None:
        """Walls: one dark line, or two with a lighter cleft where there is resolution for it."""
        half = np.float32(self.membrane / 2)
        faint = np.clip(0.85 + 0.2 * smooth(self.rng, self.size, 30), 0.25, 1)
        if self.membrane > 3 and self.rng.random() < 0.6:
            profile = np.exp(-(((self.wall - 0.65 * half) / (0.5 * half)) ** 2))
        else:
            profile = np.clip(half + 0.5 - self.wall, 0, 1)
        dark = np.float32(self.rng.uniform(0.35, 0.7))
        self.dense = np.maximum(self.dense, self.dense + dark * faint * profile)

    def add_mitochondria(self, count: int, radius: float) -> np.ndarray:
        """Elongated bodies with two membranes and cristae; their labels (size, size)."""
        labels = np.zeros((self.size, self.size), np.uint16)
        rng = self.rng
        dark, crisp = rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.35)
        shell = np.clip(radius * rng.uniform(0.06, 0.14), 0.6, 3)
        period = max(radius * rng.uniform(0.25, 0.6), 3.0)
        bent = smooth(rng, self.size, radius) * np.float32(rng.uniform(0.3, 1.2) * period)
        patchy = smooth(rng, self.size, radius) > rng.uniform(-1.2, 0.5)
        steps = np.arange(self.size, dtype=np.float32)
        number = 0
        for place in self.places(count, min(0.8 * radius, 0.6 * float(self._room.max()))):
            line = self._lying(place, radius * rng.uniform(0.6, 1.3))
            window, distance = self.body(line, self.membrane / 2 + rng.uniform(0.5, 3))
            if distance.size == 0 or (labels[window][distance < 3] > 0).any():
                continue
            own = float(line.radius.max())
            if np.count_nonzero(distance < 0) < max(2.0 * own**2, 30):
                continue
            number += 1
            labels[window][distance < 0] = number
            inside = np.clip(0.5 - distance, 0, 1)
            matrix = np.float32(dark * rng.uniform(0.7, 1.2))
            dy, dx = line.points[-1] - line.points[0]
            phase = np.arctan2(dy, dx) + rng.normal(0, 0.4) + np.pi / 2 * (rng.random() < 0.25)
            wave = np.sin(phase) * steps[window[0]][:, None] + np.cos(phase) * steps[window[1]]
            lamella = np.sin((wave + bent[window]) * np.float32(2 * np.pi / period))
            lamella = np.clip(lamella * 1.6 - 0.5, 0, 1) * patchy[window]
            lamella = lamella * np.clip(-distance / shell - 2.5, 0, 1)
            membranes = np.exp(-(((distance + shell * 0.5) / (shell * 0.6)) ** 2))
            membranes += 0.6 * np.exp(-(((distance + shell * 2.4) / (shell * 0.6)) ** 2))
            ground = self.dense[window] * (1 - inside) + inside * (
                0.22 + matrix + 0.3 * (self.dense[window] - 0.22)
            )
            self.dense[window] = ground + crisp * lamella + (0.15 + crisp) * membranes * 0.8
        return labels

    def clutter(self, *, vesicles: bool = True) -> None:
        """Organelles at random."""
        rng = self.rng
        area = (self.size / 384) ** 2
        if rng.random() < 0.6:
            self.add_reticulum(int(rng.integers(5, 50) * area))
        if vesicles and rng.random() < 0.6:
            self.add_vesicles(int(rng.integers(10, 120) * area), rng.uniform(1.5, 4.5))
        self.add_granules(rng.uniform(0, 0.08))

    def _darken(self, window: Window, amount: np.ndarray, most: float) -> None:
        if amount.size:
            self.dense[window] += np.float32(most) * amount.astype(np.float32)
