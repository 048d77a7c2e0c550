"""Where labels go that are too large for one layer: a folder for each, found again later."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.weights import data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_hqsam.labels.store import LabelStore

# One editable layer up to here: pixels of its largest plane, and of all of it.
LARGEST_PLANE, LARGEST_ARRAY = 4096**2, 2**28
STORE = "napari-hqsam label store"
"""Key of a layer's metadata: the path of the store of which it shows all or a part."""


def needs_store(shape: Sequence[int]) -> bool:
    """Whether labels of that shape are too large for one editable layer."""
    *_, a, b = sorted(shape)
    return a * b > LARGEST_PLANE or int(np.prod([int(n) for n in shape])) > LARGEST_ARRAY


def labels_folder() -> Path:
    """Where new stores are made: in the user's data folder."""
    return data_dir() / "labels"


def create_store(image: Layer, place: Path | None = None) -> LabelStore:
    """Make an empty store that fits an image, at a place or in `labels_folder`.

    Raises
    ------
    HQSAMError
        If it cannot be made.
    """
    from napari_hqsam.labels.store import LabelStore

    if place is None:
        place = _new_place(image)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return LabelStore.create(
            place,
            spatial_shape(image),
            axes=layer_axes(image),
            scale=[abs(float(s)) for s in image.scale],
            units=[str(u) for u in image.units],
        )
    except OSError as error:
        raise HQSAMError(f"{place}: no labels can be kept there ({error})") from error


def _new_place(image: Layer) -> Path:
    """A name in `labels_folder` that is free."""
    name = re.sub(r"[^\w.-]+", "-", image.name).strip("-.") or "image"
    folder = labels_folder()
    stem = f"{name}-{datetime.now():%y%m%d-%H%M%S}"
    paths = (folder / f"{stem}{more}.zarr" for more in chain([""], (f"-{n}" for n in count(2))))
    return next(each for each in paths if not each.exists())


def store_of(layer: Layer) -> LabelStore | None:
    """The store that a layer shows all of, or was opened from; None if there is none."""
    from napari_hqsam.labels.store import LabelStore

    path = layer.metadata.get(STORE) or getattr(layer.source, "path", None)
    if path is None or not Path(path).is_dir():
        return None
    try:
        store = LabelStore.open(Path(path))
    except (HQSAMError, OSError):
        return None
    return store if tuple(store.shape) == spatial_shape(layer) else None


def layer_axes(image: Layer) -> str:
    """Axes of the store: those of the layer if a store may have them, or the usual ones."""
    named = "".join(str(label).lower() for label in image.axis_labels)
    return named if named in ("yx", "zyx", "tyx", "tzyx") else "tzyx"[-image.ndim :]
