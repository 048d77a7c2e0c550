"""Small label images and masks, with every kind of touching, and comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane

# holes, several parts, single pixels, pixels that touch at a corner: all of them are common here
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))

# a ring that touches itself at a corner, within a ring, beside a part of its own
PINCHED = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 1, 0, 0],
        [1, 0, 1, 1, 1, 0, 1, 0, 1],
        [1, 0, 1, 0, 1, 0, 1, 0, 0],
        [1, 0, 1, 1, 0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 1, 0],
    ],
    bool,
)


@st.composite
def label_images(draw: st.DrawFn, max_dims: int = 4) -> NDArray[Any]:
    """Labels 0 to 3 of two to `max_dims` axes."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=max_dims, min_side=1, max_side=7))
    return draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, 3)))


def grid_of(labels: NDArray[Any], **options: Any) -> Grid:
    return Grid("tzyx"[-labels.ndim :], labels.shape, **options)


def an_object(mask: NDArray[Any], number: int = 1, y0: int = 0, x0: int = 0, **about: Any) -> Any:
    """An object on a single 2-D plane."""
    h, w = mask.shape
    box = (y0, x0, y0 + h, x0 + w)
    plane = ArrayPlane((0, 1), ())
    return LabelObject(number, (PlaneMask.of(plane, box, mask.astype(bool)),), **about)


def drawn(objects: Iterable[LabelObject], shape: Sequence[int]) -> NDArray[Any]:
    """The label image of objects that do not overlap."""
    labels = np.zeros(shape, np.int64)
    for obj in objects:
        for mask in obj.masks:
            here = labels[mask.plane.region(*mask.bbox)]
            assert not here[mask.data].any(), "two masks overlap"
            here[mask.data] = obj.id
    return labels


def about(objects: Iterable[LabelObject]) -> list[tuple[Any, ...]]:
    return [(o.id, o.class_name, o.score, o.status) for o in objects]
