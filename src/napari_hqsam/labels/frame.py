"""Which plane of the labels belongs to which plane of their image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from napari_hqsam.labels.grid import Grid, label_axes
from napari_hqsam.labels.plane import ArrayPlane

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource


@dataclass(frozen=True)
class LabelFrame:
    """The labels of an image: its planes and pixel sizes, in the order t, z, y, x.

    Attributes
    ----------
    grid : Grid
    order : tuple of int
        For each axis of the labels before y, its place among the image's plane axes.
    """

    grid: Grid
    order: tuple[int, ...]

    @classmethod
    def of(cls, source: ImageSource, level: int = 0) -> LabelFrame:
        """Of the labels of an image, in the pixels of one of its levels.

        Raises
        ------
        HQSAMError
            If the image has more axes than label images.
        """
        grid, named = Grid.of(source, level), label_axes(source)
        return cls(grid, tuple(named.index(a) for a in grid.axes[:-2]))

    @property
    def axes(self) -> str:
        """One letter per dimension, out of ``"tzyx"`` in this order."""
        return self.grid.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Along `axes`."""
        return self.grid.shape

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.grid.yx

    @property
    def scale(self) -> tuple[float, ...] | None:
        """Step along each of `axes`, in `units`; None if the image has none."""
        return self.grid.scale

    @property
    def units(self) -> tuple[str, ...] | None:
        """Unit of each of `axes`."""
        return self.grid.units

    def index(self, plane: Sequence[int]) -> tuple[int, ...]:
        """The index of a plane of the image along `axes` before y."""
        return tuple(plane[i] for i in self.order)

    def plane(self, plane: Sequence[int]) -> ArrayPlane:
        """A plane of the image as a plane of its labels."""
        n = len(self.shape)
        return ArrayPlane((n - 2, n - 1), self.index(plane))

    def planes(self) -> Iterator[tuple[int, ...]]:
        """All planes, as the image counts them, in the order of the labels."""
        for index in product(*(range(n) for n in self.shape[:-2])):
            plane = dict(zip(self.order, index, strict=True))
            yield tuple(plane[i] for i in range(len(index)))
