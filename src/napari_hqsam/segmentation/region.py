"""The part of a plane that a job is about: a box or a polygon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.segmentation.coordinates import corners, pairs


@dataclass(frozen=True)
class Region:
    """A box, or a polygon in it.

    Attributes
    ----------
    box : (y0, x0, y1, x1)
        Half-open, in pixels, within the plane: the pixels that have a part in the region.
    vertices : tuple of (y, x), optional
        Of the polygon; whole numbers are pixel centres.
    """

    box: Box
    vertices: tuple[tuple[float, float], ...] | None = None

    @classmethod
    def of(cls, values: ArrayLike, plane_shape: tuple[int, int]) -> Region:
        """What a user gives.

        Parameters
        ----------
        values : array-like
            (y0, x0, y1, x1), half-open, or the (V, 2) vertices (y, x) of a polygon, in pixels.
        plane_shape : (int, int)
            Height and width of the plane.

        Raises
        ------
        HQSAMError
            If it is neither, or has no pixels of the plane.
        """
        vertices = None
        if np.ndim(values) == 2:
            given: NDArray[Any] = pairs(values, "region")
            if len(given) < 3:
                raise HQSAMError(f"region: a polygon has at least 3 vertices, not {len(given)}")
            vertices = tuple((float(y), float(x)) for y, x in given)
            low, high = given.min(axis=0) + 0.5, given.max(axis=0) + 0.5
        else:
            y0, x0, y1, x1 = corners(values)  # type: ignore[arg-type]
            low, high = np.array([y0, x0]), np.array([y1, x1])
        (top, left), (bottom, right) = (
            [max(0, math.floor(v)) for v in low],
            [min(n, math.ceil(v)) for n, v in zip(plane_shape, high, strict=True)],
        )
        if top >= bottom or left >= right:
            height, width = plane_shape
            raise HQSAMError(
                f"region: it has no pixels of the plane, which is {height} x {width}; give y0, x0, "
                "y1, x1 or vertices (y, x) in pixels"
            )
        return cls((top, left, bottom, right), vertices)

    def meets(self, box: Sequence[int]) -> bool:
        """Whether a half-open box has a part in it."""
        y0, x0, y1, x1 = self.box
        if not (y0 < box[2] and x0 < box[3] and y1 > box[0] and x1 > box[1]):
            return False
        if self.vertices is None:
            return True
        import shapely

        pixels = shapely.box(*(v - 0.5 for v in box))
        return bool(shapely.intersects(self._polygon, pixels))

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points (n, 2), (y, x), lie in it; whole numbers are pixel centres."""
        if self.vertices is not None:
            import shapely

            inside: NDArray[np.bool_] = shapely.contains_xy(self._polygon, points)
            return inside
        low, high = np.subtract(self.box[:2], 0.5), np.subtract(self.box[2:], 0.5)
        return np.asarray(((points >= low) & (points < high)).all(axis=1))

    def to_json(self) -> list[Any]:
        """As numbers."""
        return [*self.box] if self.vertices is None else [list(v) for v in self.vertices]

    @cached_property
    def _polygon(self) -> Any:
        import shapely

        # one that crosses itself becomes several
        return shapely.make_valid(shapely.Polygon(self.vertices))
