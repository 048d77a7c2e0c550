"""Masks into a `LabelStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.labels.store_planes import all_or_none, read_plane, write_plane

if TYPE_CHECKING:
    from napari_hqsam.labels.change import Change
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.segmentation import Mask

# Rows of a mask that are in memory at once.
_ROWS = 2048


def write_mask(store: LabelStore, plane: ArrayPlane, mask: Mask, value: int) -> list[Change]:
    """Write an object where there is no other; [] if there is no place left."""
    y0, x0, y1, x1 = mask.bbox
    changes: list[Change] = []
    with all_or_none(changes):
        for top in range(y0, y1, _ROWS):
            bottom = min(top + _ROWS, y1)
            there = read_plane(store, plane, top, x0, bottom, x1)
            where = mask.data[top - y0 : bottom - y0] & (there == 0)
            if where.any():
                pixels = np.full(there.shape, value, dtype=np.int64)
                changes += write_plane(store, plane, top, x0, pixels, where)
    return changes
