"""Committing masks into a Labels layer, and taking them back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.label_folder import needs_store
from napari_hqsam.plugin.large_labels import LargeLabels
from napari_hqsam.plugin.layers import insert_above, spatial_shape, transform_like
from napari_hqsam.plugin.steps import Drawn, Step, Written, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.segmentation import Mask

# The highest label of more pixels than this is looked up once, not at every turn.
_QUICK = 2**24


class LabelTarget:
    """Writes masks as objects, and remembers what was written.

    Parameters
    ----------
    viewer : napari.components.ViewerModel

    Attributes
    ----------
    changed : psygnal.Signal
        Emitted when there is one more step to take back, or one less.
    failed : psygnal.Signal
        Emitted with one line when something painted could not be written.
    undo_pressed : psygnal.Signal
        Emitted for Ctrl-Z on large labels.
    """

    changed = Signal()
    undo_pressed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._steps: list[Step] = []
        self._large: list[LargeLabels] = []
        self._ordinary: WeakSet[Labels] = WeakSet()
        self._highest: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()

    def new(self, image: Image) -> Labels:
        """Add an empty Labels layer that fits an image, below the prompts.

        Of a large one the labels are kept on disk.
        """
        shape = spatial_shape(image)
        if needs_store(shape):
            large = LargeLabels.create(self._viewer, image)
            self._keep(large)
            return large.overview
        labels = Labels(
            np.zeros(shape, dtype=np.uint16),
            name=f"{image.name} objects",
            **transform_like(image),
        )
        insert_above(self._viewer, image, labels)
        return labels

    def check_fits(self, labels: Labels, image: Image) -> None:
        """Raise HQSAMError if masks of `image` cannot be written into `labels`."""
        if labels.multiscale and self.large(labels) is None:
            raise HQSAMError(
                f"{labels.name} is multiscale, which napari cannot edit: choose a new layer"
            )
        if spatial_shape(labels) != spatial_shape(image):
            raise HQSAMError(
                f"{labels.name} has shape {spatial_shape(labels)}, the image "
                f"{spatial_shape(image)}: choose another Labels layer, or a new one"
            )

    def large(self, labels: Labels | None) -> LargeLabels | None:
        """The store behind a layer, also of one that was opened from its folder; or None."""
        if labels is None:
            return None
        for large in self._large:
            if large.owns(labels):
                return large
        if labels in self._ordinary:
            return None
        found = None
        if labels.multiscale or needs_store(spatial_shape(labels)):
            found = LargeLabels.adopt(self._viewer, labels)
        if found is None:
            self._ordinary.add(labels)
        else:
            self._keep(found)
        return found

    def is_part(self, layer: Layer) -> bool:
        """Whether a layer shows a part of labels that another one stands for."""
        return any(large.owns(layer) and layer is not large.overview for large in self._large)

    def next_label(self, labels: Labels) -> int:
        """The number after the highest one in the layer."""
        large = self.large(labels)
        if large is not None:
            return large.next_label
        if labels.multiscale:
            return 1
        if labels.data.size <= _QUICK:
            return int(np.max(labels.data)) + 1
        if labels not in self._highest:
            self._highest[labels] = int(np.max(labels.data))
            labels.events.selected_label.connect(
                lambda: self._raise(labels, int(labels.selected_label))
            )
        return self._highest[labels] + 1

    def commit(self, labels: Labels, plane: ArrayPlane, masks: Sequence[Mask], first: int) -> int:
        """Write each mask as an object of its own; pixels of other objects are kept.

        Parameters
        ----------
        labels : napari.layers.Labels
            Of the image's shape.
        plane : ArrayPlane
            Where the masks lie.
        masks : sequence of Mask
        first : int
            Number of the first object; the others follow.

        Returns
        -------
        int
            How many objects were written.

        Raises
        ------
        HQSAMError
            If nothing could be written, or a number does not fit the layer's data type.
        """
        large = self.large(labels)
        largest = np.iinfo(labels.dtype).max
        if first + len(masks) - 1 > largest:
            raise HQSAMError(
                f"label {first + len(masks) - 1} does not fit {labels.name} ({labels.dtype}, "
                f"up to {largest}): choose a new Labels layer"
            )
        step: Step
        if large is not None:
            written, changes = large.commit(plane, masks, first)
            step = Written(large, changes)
        else:
            written, step = draw(labels, plane, masks, first)
        if not written:
            raise HQSAMError(
                "nothing to commit: the mask is empty, or lies on objects already there"
            )
        self._raise(labels, first + written - 1)
        self._add(step)
        return written

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._steps)

    def undo(self) -> str:
        """Take the last step back, and say what it was.

        Raises
        ------
        HQSAMError
            If there is none, or it cannot be taken back now.
        """
        self.flush()  # what was painted last comes first
        if not self._steps:
            raise HQSAMError("nothing to undo: no object has been committed")
        step = self._steps[-1]
        if isinstance(step, Drawn) and step.layer not in self._viewer.layers:
            self._steps.pop()
            self.changed.emit()
            raise HQSAMError(f"{step.layer.name} is gone, and the last commit with it")
        step.undo()
        self._steps.pop()
        self.changed.emit()
        return step.what

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
                self._large.remove(large)
                saved = large.close()
                if layer is not large.overview and large.overview in self._viewer.layers:
                    self._keep(LargeLabels(self._viewer, large.store, large.overview))
                    return None
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

    def _keep(self, large: LargeLabels) -> None:
        self._large.append(large)
        large.painted.connect(lambda changes: self._add(Written(large, changes, "stroke")))
        large.undo_pressed.connect(lambda: self.undo_pressed.emit())
        large.failed.connect(lambda line: self.failed.emit(line))

    def _add(self, step: Step) -> None:
        self._steps.append(step)
        self.changed.emit()

    def _raise(self, labels: Labels, label: int) -> None:
        if labels in self._highest:
            self._highest[labels] = max(self._highest[labels], label)
