"""Committing masks into a Labels layer, and taking them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.layers import insert_above, spatial_shape, transform_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.segmentation import Mask


@dataclass(frozen=True)
class _Commit:
    """Pixels that were background and became objects."""

    layer: Labels
    pixels: tuple[np.ndarray, ...]
    values: np.ndarray


def new_labels(viewer: ViewerModel, image: Image) -> Labels:
    """Add an empty Labels layer that fits an image, below the prompts."""
    labels = Labels(
        np.zeros(spatial_shape(image), dtype=np.uint16),
        name=f"{image.name} objects",
        **transform_like(image),
    )
    insert_above(viewer, image, labels)
    return labels


def check_fits(labels: Labels, image: Image) -> None:
    """Raise HQSAMError if masks of `image` cannot be written into `labels`."""
    if labels.multiscale:
        raise HQSAMError(
            f"{labels.name} is multiscale, which napari cannot edit: choose a new layer"
        )
    if tuple(labels.data.shape) != spatial_shape(image):
        raise HQSAMError(
            f"{labels.name} has shape {tuple(labels.data.shape)}, the image "
            f"{spatial_shape(image)}: choose another Labels layer, or a new one"
        )


def next_label(labels: Labels) -> int:
    """The number after the highest one in the layer."""
    return int(labels.data.max()) + 1


class LabelTarget:
    """Writes masks as objects, and remembers what it wrote."""

    def __init__(self) -> None:
        self._commits: list[_Commit] = []

    def commit(self, labels: Labels, masks: Sequence[Mask], first: int) -> int:
        """Write each mask as an object of its own; pixels of other objects are kept.

        Parameters
        ----------
        labels : napari.layers.Labels
            Of the image's shape.
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
        largest = np.iinfo(labels.data.dtype).max
        if first + len(masks) - 1 > largest:
            raise HQSAMError(
                f"label {first + len(masks) - 1} does not fit {labels.name} ({labels.data.dtype}, "
                f"up to {largest}): choose a new Labels layer"
            )
        pixels: list[np.ndarray] = []
        values: list[np.ndarray] = []
        taken: dict[tuple[int, ...], np.ndarray] = {}
        value = first
        for mask in masks:
            y0, x0, y1, x1 = mask.bbox
            if mask.plane not in taken:
                taken[mask.plane] = np.asarray(labels.data[mask.plane]) != 0
            busy = taken[mask.plane][y0:y1, x0:x1]
            ys, xs = np.nonzero(mask.data & ~busy)
            if len(ys) == 0:
                continue
            busy[ys, xs] = True
            planes = [np.full(len(ys), i) for i in mask.plane]
            pixels.append(np.stack([*planes, ys + y0, xs + x0]))
            values.append(np.full(len(ys), value))
            value += 1
        if not pixels:
            raise HQSAMError(
                "nothing to commit: the mask is empty, or lies on objects already there"
            )
        indices = tuple(np.concatenate(pixels, axis=1))
        written = np.concatenate(values).astype(labels.data.dtype)
        labels.data_setitem(indices, written)
        self._commits.append(_Commit(labels, indices, written))
        return value - first

    @property
    def can_undo(self) -> bool:
        """Whether there is a commit to take back."""
        return bool(self._commits)

    def undo(self) -> None:
        """Take the last commit back; pixels that were painted over since are left alone."""
        if not self._commits:
            raise HQSAMError("nothing to undo: no object has been committed")
        last = self._commits.pop()
        ours = np.asarray(last.layer.data[last.pixels]) == last.values
        chosen = tuple(axis[ours] for axis in last.pixels)
        if ours.any():
            last.layer.data_setitem(chosen, np.zeros(int(ours.sum()), dtype=last.values.dtype))
