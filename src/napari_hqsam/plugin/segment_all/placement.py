"""How an Image layer and the labels of its image lie to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.lazy import LazyArray, Span
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.plane import displayed_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_hqsam.images.source import ImageSource
    from napari_hqsam.labels.plane import ArrayPlane

# Corners of two layers that lie at the same place are no farther apart, in pixels.
_TOLERANCE = 0.5


@dataclass(frozen=True)
class Placement:
    """The axes of labels among those of the layer of their image.

    Attributes
    ----------
    frame : LabelFrame
        Of the labels: its axes are in the order t, z, y, x, without those of length 1.
    shape : tuple of int
        Of the layer, without the colours.
    axes : tuple of int
        For each axis of the labels, which axis of the layer it is.
    """

    frame: LabelFrame
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @classmethod
    def of(cls, image: Image, source: ImageSource) -> Placement:
        """Of a layer and what is read of it.

        Raises
        ------
        HQSAMError
            If the image has more axes than label images.
        """
        frame = LabelFrame.of(source)
        letters = source.array_axes.replace("c", "")
        own = [*(source.plane_axes[i] for i in frame.order), "y", "x"]
        return cls(frame, spatial_shape(image), tuple(letters.index(a) for a in own))

    @property
    def straight(self) -> bool:
        """Whether both have the same axes in the same order."""
        return self.axes == tuple(range(len(self.shape)))

    def plane(self, shown: ArrayPlane) -> tuple[int, ...]:
        """The index of a plane of the layer, as the image's source counts it."""
        return shown.source_index(self.shape)

    def spread(self, labels: Any) -> Any:
        """A label array with the axes of the layer: a view, lazy if `labels` is."""
        if self.straight:
            return labels
        if not isinstance(labels, np.ndarray):
            return _Spread(labels, self.axes, len(self.shape))
        return _spread(labels, self.axes, len(self.shape))

    def gather(self, data: Any) -> Any:
        """Data of a layer as labels of the frame; those of length 1 may be there or not."""
        if self.straight or data.ndim != len(self.shape):
            return data
        from napari_hqsam.images.lazy import ArrayView

        return ArrayView(data, self.axes)

    def check(self, labels: Labels, image: Image) -> None:
        """Raise HQSAMError if labels are not of the image: another shape, place or scale."""
        shape = spatial_shape(labels)
        if shape not in (self.shape, self.frame.shape):
            raise HQSAMError(
                f"{labels.name} has shape {shape}, {image.name} {self.shape}: choose the labels of "
                "this image, or the image of these labels"
            )
        for corner in (np.zeros(labels.ndim), np.subtract(shape, 1)):
            whole = np.zeros(image.ndim)
            whole[list(self.axes) if labels.ndim != image.ndim else slice(None)] = corner
            there = np.asarray(labels.data_to_world(corner))
            here = np.asarray(image.data_to_world(whole))[-labels.ndim :]
            steps = np.abs(np.asarray(image.scale))[-labels.ndim :]
            if (np.abs(there - here) > _TOLERANCE * steps).any():
                raise HQSAMError(
                    f"{labels.name} lies elsewhere than {image.name}, or has another scale "
                    f"({_numbers(labels.scale)}, the image {_numbers(image.scale)}): give it the "
                    "scale and translate of the image"
                )


def plane_in_view(viewer: ViewerModel, image: Image) -> ArrayPlane:
    """The y-x plane of an image that the viewer shows.

    Raises
    ------
    HQSAMError
        If it shows something else.
    """
    if viewer.dims.ndisplay != 2:
        raise HQSAMError("go back to the 2-D view, which shows the slice, or choose all of it")
    plane = displayed_plane(viewer, image)
    if plane.axes != (image.ndim - 2, image.ndim - 1):
        raise HQSAMError("Segment all works on y-x planes: roll the axes back")
    return plane


class _Spread(LazyArray):
    """An array with its axes among others, of length 1."""

    def __init__(self, array: Any, axes: tuple[int, ...], ndim: int) -> None:
        self._array, self._axes = array, axes
        shape, chunks = [1] * ndim, [1] * ndim
        for own, axis in enumerate(axes):
            shape[axis] = int(array.shape[own])
            chunks[axis] = int(array.chunks[own])
        self.shape, self.chunks, self.dtype = tuple(shape), tuple(chunks), np.dtype(array.dtype)

    def read(self, span: Span) -> NDArray[Any]:
        """Read a box."""
        pixels = np.asarray(self._array[tuple(span[axis] for axis in self._axes)])
        return _spread(pixels, self._axes, self.ndim)


def _spread(pixels: NDArray[Any], axes: tuple[int, ...], ndim: int) -> NDArray[Any]:
    upright = pixels.transpose(np.argsort(axes))
    return np.expand_dims(upright, tuple(a for a in range(ndim) if a not in axes))


def _numbers(steps: Any) -> str:
    return " × ".join(f"{float(step):.4g}" for step in steps)
