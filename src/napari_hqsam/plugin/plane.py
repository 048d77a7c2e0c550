"""Which plane of a layer is on the screen: xy, xz, yz, or any other pair of its axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.layers import spatial_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer


@dataclass(frozen=True)
class LayerPlane:
    """A plane of a layer of any number of dimensions; (y, x) is a position within it.

    Attributes
    ----------
    axes : (int, int)
        The layer's two axes that are y and x of the plane, the lower one first: a plane has the
        same coordinates whether or not the view is transposed.
    index : tuple of int
        Where the plane lies along each of the other axes, in their order.
    """

    axes: tuple[int, int]
    index: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes of the layer."""
        return len(self.index) + 2

    @property
    def others(self) -> tuple[int, ...]:
        """The axes that `index` counts along."""
        return tuple(axis for axis in range(self.ndim) if axis not in self.axes)

    def shape(self, layer_shape: Sequence[int]) -> tuple[int, int]:
        """(height, width) of the plane in a layer of that shape."""
        i, j = self.axes
        return int(layer_shape[i]), int(layer_shape[j])

    def source_index(self, layer_shape: Sequence[int]) -> tuple[int, ...]:
        """`index` without the axes of length 1, which an `ImageSource` leaves out."""
        pairs = zip(self.index, self.others, strict=True)
        return tuple(i for i, axis in pairs if layer_shape[axis] > 1)

    def yx(self, positions: ArrayLike) -> NDArray[Any]:
        """(N, 2) positions within the plane of (N, ndim) positions in the layer."""
        return np.asarray(positions)[:, list(self.axes)]

    def holds(self, positions: ArrayLike) -> bool:
        """Whether all (N, ndim) positions lie in this plane."""
        along = np.asarray(positions)[:, list(self.others)]
        return bool((np.round(along) == self.index).all())

    def position(self, y: float, x: float) -> tuple[float, ...]:
        """The (y, x) of this plane as a position in the layer."""
        return tuple(self._order(list(self.index), [y, x]))

    def steps(self, step: float) -> tuple[float, ...]:
        """`step` along the plane's axes, 1 along the others."""
        return tuple(self._order([1.0] * len(self.index), [step, step]))

    def region(self, y0: int, x0: int, y1: int, x1: int) -> tuple[Any, ...]:
        """Index of a half-open box of the plane into the layer's data: gives (y1-y0, x1-x0)."""
        return tuple(self._order(list(self.index), [slice(y0, y1), slice(x0, x1)]))

    def pixels(self, y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Index of single pixels into the layer's data."""
        return tuple(self._order([np.full(len(y), i) for i in self.index], [y, x]))

    def slab(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """(h, w) pixels with the layer's number of dimensions; a view."""
        h, w = pixels.shape
        return pixels.reshape(self._order([1] * len(self.index), [h, w]))

    def flat(self, slab: NDArray[Any]) -> NDArray[Any]:
        """What `slab` gave, as (h, w) again; a view."""
        i, j = self.axes
        return slab.reshape(slab.shape[i], slab.shape[j])

    def _order(self, along: list[Any], within: list[Any]) -> list[Any]:
        """One value for each of the layer's axes, from those of `others` and of `axes`."""
        for axis, value in zip(self.axes, within, strict=True):
            along.insert(axis, value)
        return along


def displayed_plane(viewer: ViewerModel, image: Layer) -> LayerPlane:
    """The plane of an image that the viewer shows, as its sliders stand.

    Raises
    ------
    HQSAMError
        If it shows a volume, an axis that the image does not have, or a place outside the image.
    """
    if viewer.dims.ndisplay != 2:
        raise HQSAMError("Annotate works on planes: go back to the 2-D view")
    lacking = viewer.dims.ndim - image.ndim
    i, j = sorted(axis - lacking for axis in viewer.dims.displayed)
    if i < 0:
        raise HQSAMError(f"{image.name} does not have the axes on display: roll them back")
    point = np.asarray(viewer.dims.point)[lacking:]
    at = np.round(image.world_to_data(point)).astype(int)
    shape = spatial_shape(image)
    plane = LayerPlane((i, j), tuple(int(at[k]) for k in range(image.ndim) if k not in (i, j)))
    if any(not 0 <= n < shape[k] for n, k in zip(plane.index, plane.others, strict=True)):
        raise HQSAMError(f"the sliders are outside {image.name}: move them to where it is shown")
    return plane
