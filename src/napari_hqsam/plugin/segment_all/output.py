"""Where the labels go that are made: a layer in memory, or a store on disk that a layer shows."""

from __future__ import annotations

import math
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_hqsam.plugin.label_folder import LARGEST_PLANE, STORE, labels_folder
from napari_hqsam.plugin.layers import transform_like
from napari_hqsam.storage.work import begun

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.plugin.segment_all.assignment import Method
    from napari_hqsam.plugin.segment_all.placement import Placement

# Labels of more bytes go to disk, counted as uint32.
_LARGEST_BYTES = 2**29

_WORDS: dict[Method, str] = {"refine": "refined", "automatic": "objects", "drawn": "objects"}


def needs_disk(frame: LabelFrame) -> bool:
    """Whether labels are too large for one layer in memory."""
    plane = math.prod(frame.plane_shape)
    return plane > LARGEST_PLANE or math.prod(frame.shape) * 4 > _LARGEST_BYTES


def result_name(image: Image, method: Method) -> str:
    """The name of the new layer."""
    return f"{image.name} {_WORDS[method]}"


def free_place(name: str) -> Path:
    """A store in the folder of labels: one that is not there, or whose job was not finished."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "labels"
    numbers = (f"{stem}{'' if n == 1 else f'-{n}'}.zarr" for n in count(1))
    places = (labels_folder() / each for each in numbers)
    return next(p for p in places if not p.exists() or unfinished(p))


def unfinished(place: Path) -> bool:
    """Whether a job that writes there was begun and not finished."""
    return begun(place.with_name(f"{place.name}.job"))


def add_layer(
    viewer: ViewerModel, image: Image, placement: Placement, labels: Any, name: str
) -> Labels:
    """Show labels, above all images and other labels.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Whose transform the layer gets; it may be gone.
    placement : Placement
    labels : ndarray or LabelStore
    name : str
    """
    place = transform_like(image)
    if isinstance(labels, np.ndarray):
        layer = Labels(placement.spread(labels), name=name, **place)
    else:
        levels = [placement.spread(level) for level in labels.levels]
        layer = Labels(levels if len(levels) > 1 else levels[0], name=name, **place)
        layer.editable = False
        if placement.straight:  # the Annotate dock edits the store
            layer.metadata[STORE] = str(labels.path)
    pictures = [i for i, each in enumerate(viewer.layers) if isinstance(each, (Image, Labels))]
    selected = viewer.layers.selection.active
    viewer.layers.insert(pictures[-1] + 1 if pictures else 0, layer)
    viewer.layers.selection.active = selected
    return layer
