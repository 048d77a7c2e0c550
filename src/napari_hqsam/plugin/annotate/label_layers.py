"""The Labels layers that objects go into: made, opened from disk, copied, and let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate.layer_labels import LayerLabels
from napari_hqsam.plugin.label_folder import needs_store
from napari_hqsam.plugin.large_labels import LargeLabels
from napari_hqsam.plugin.layers import crop_transform, insert_above, spatial_shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

# Of more pixels than this the highest label is not looked up.
_QUICK = 2**28


class LabelLayers:
    """What a session may edit in the viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel

    Attributes
    ----------
    store_place : callable
        Gives the folder for new labels on disk; None for the usual place.

    Signals
    -------
    failed(str)
        One line: something painted could not be written.
    undo_pressed()
        Ctrl-Z on labels that are kept on disk.
    """

    undo_pressed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.store_place: Callable[[], Path | None] = lambda: None
        self._large: list[LargeLabels] = []
        self._ordinary: WeakKeyDictionary[Labels, LayerLabels] = WeakKeyDictionary()

    def new(self, image: Image, index: tuple[int, ...] | None = None) -> Labels:
        """Add an empty Labels layer that fits an image, below the prompts.

        Of a large one the labels are kept on disk.

        Parameters
        ----------
        image : napari.layers.Image
        index : tuple of int, optional
            Along the leading axes: the labels are for these time points alone.
        """
        start = np.zeros(image.ndim)
        shape = list(spatial_shape(image))
        for axis, at in enumerate(index or ()):
            start[axis], shape[axis] = at, 1
        name = f"{image.name} objects"
        if needs_store(shape):
            if index:
                raise HQSAMError(
                    f"{image.name} is too large for labels of one time point in memory: "
                    "choose all time points, they are kept on disk"
                )
            large = LargeLabels.create(self._viewer, image, self.store_place())
            self._keep(large)
            return large.overview
        data = np.zeros(shape, dtype=np.uint32)
        labels = Labels(data, name=name, **crop_transform(image, tuple(start)))
        insert_above(self._viewer, image, labels)
        return labels

    def copy(self, labels: Labels, image: Image) -> Labels:
        """Add a copy of labels that cannot be edited where they are.

        Raises
        ------
        HQSAMError
            If they are too large for the memory.
        """
        data: Any = labels.data[0] if labels.multiscale else labels.data
        if needs_store(data.shape):
            raise HQSAMError(
                f"{labels.name} is too large to be copied in memory: save it as .zarr "
                "(File > Save), and open that"
            )
        pixels = np.asarray(data)
        if pixels.dtype.kind not in "bui" or (pixels.dtype.kind == "i" and pixels.min() < 0):
            raise HQSAMError(f"{labels.name} holds no labels from 0 up ({pixels.dtype})")
        wide = np.uint64 if pixels.dtype == np.uint64 else np.uint32
        made = Labels(
            pixels.astype(wide),
            name=f"{labels.name} (copy)",
            **crop_transform(labels, (0,) * labels.ndim),
        )
        insert_above(self._viewer, image, made)
        return made

    def problem(self, labels: Labels, image: Image, highest: int = 0) -> str | None:
        """Why objects of `image` cannot go into `labels` as they are, in words; None if they can.

        Parameters
        ----------
        labels : napari.layers.Labels
        image : napari.layers.Image
        highest : int
            A label that must fit.
        """
        if self.large(labels) is None:
            data = labels.data
            if labels.multiscale:
                return f"{labels.name} is a pyramid, which cannot be edited"
            if not isinstance(data, np.ndarray) and not _is_zarr(data):
                return f"{labels.name} is read from elsewhere ({type(data).__name__})"
            if isinstance(data, np.ndarray) and not data.flags.writeable:
                return f"{labels.name} is read-only"
            if getattr(getattr(data, "store", None), "read_only", False):
                return f"{labels.name} is read-only"
            limit = int(np.iinfo(data.dtype).max)
            if highest > limit:
                return f"{labels.name} holds labels up to {limit} ({data.dtype})"
        return None

    def plane_in(self, labels: Labels, image: Image, plane: ArrayPlane) -> ArrayPlane:
        """A plane of an image as one of the labels, which may be of one time point alone.

        Raises
        ------
        HQSAMError
            If the labels are of another shape, or not of that plane.
        """
        theirs, ours = spatial_shape(labels), spatial_shape(image)
        fits = len(theirs) == len(ours) and all(
            a == b or (a == 1 and axis not in plane.axes)
            for axis, (a, b) in enumerate(zip(theirs, ours, strict=False))
        )
        if not fits:
            raise HQSAMError(
                f"{labels.name} has shape {theirs}, the image {ours}: "
                "choose another Labels layer, or a new one"
            )
        if theirs == ours:
            return plane
        at = labels.world_to_data(image.data_to_world(plane.position(0, 0)))
        index = tuple(round(float(at[axis])) for axis in plane.others)
        lengths = [theirs[axis] for axis in plane.others]
        if any(not 0 <= i < n for i, n in zip(index, lengths, strict=True)):
            raise HQSAMError(
                f"{labels.name} is of another time point: choose another Labels layer, or a new one"
            )
        return ArrayPlane(plane.axes, index)

    def array(self, labels: Labels) -> LayerLabels | LargeLabels:
        """What a session edits; it has a signal `painted`."""
        large = self.large(labels)
        if large is not None:
            return large
        return self._ordinary.setdefault(labels, LayerLabels(labels))

    def large(self, labels: Labels | None) -> LargeLabels | None:
        """The store behind a layer, also of one that was opened from its folder; or None."""
        if labels is None:
            return None
        for large in self._large:
            if large.owns(labels):
                return large
        if labels in self._ordinary:
            return None
        if not labels.multiscale and not needs_store(spatial_shape(labels)):
            return None
        found = LargeLabels.adopt(self._viewer, labels)
        if found is not None:
            self._keep(found)
        return found

    def is_part(self, layer: Layer) -> bool:
        """Whether a layer shows a part of labels that another one stands for."""
        return any(large.owns(layer) and layer is not large.overview for large in self._large)

    def highest(self, labels: Labels) -> int:
        """The highest label in the layer; 0 where that takes too long to find out."""
        large = self.large(labels)
        if large is not None:
            return large.store.highest
        data: Any = labels.data[0] if labels.multiscale else labels.data
        return int(np.max(data)) if data.size and np.prod(data.shape) <= _QUICK else 0

    def follow(self, labels: Labels | None) -> LargeLabels | None:
        """The view has moved: make what it shows of `labels` editable; the store behind them."""
        chosen = self.large(labels)
        for large in self._large:
            if large is chosen:
                large.follow()
            else:
                large.rest()
        return chosen

    def removed(self, layer: Layer) -> str | None:
        """A layer was deleted; a line for the user if it was of labels on disk."""
        for large in self._large:
            if large.owns(layer):
                if layer is not large.overview and large.overview in self._viewer.layers:
                    large.window_removed()
                    return None
                self._large.remove(large)
                saved = large.close()
                return f"{layer.name} is kept in {large.store.path}" if saved else None
        return None

    def flush(self) -> None:
        """Write what was painted."""
        for large in self._large:
            large.flush()

    def close(self) -> None:
        """Write what was painted, and leave ordinary layers."""
        for large in self._large:
            large.close()
        self._large.clear()
        for ordinary in self._ordinary.values():
            ordinary.close()

    def _keep(self, large: LargeLabels) -> None:
        self._large.append(large)
        large.undo_pressed.connect(lambda: self.undo_pressed.emit())
        large.failed.connect(lambda line: self.failed.emit(line))


def _is_zarr(data: Any) -> bool:
    """Whether it is an array that can be written piece by piece."""
    return type(data).__module__.partition(".")[0] == "zarr"
