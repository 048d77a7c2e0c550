"""Any plane of a `LabelStore`, which itself knows those of its last two axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hqsam.labels.change import Change
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.store import LabelStore


def read_plane(
    store: LabelStore, plane: ArrayPlane, y0: int, x0: int, y1: int, x1: int
) -> NDArray[Any]:
    """(y1 - y0, x1 - x0) labels of a half-open box of a plane; a copy."""
    if plane.axes == _last(store):
        return store.read(plane.index, y0, x0, y1, x1)
    return np.array(store.levels[0][plane.region(y0, x0, y1, x1)])


def write_plane(
    store: LabelStore,
    plane: ArrayPlane,
    y0: int,
    x0: int,
    pixels: NDArray[Any],
    where: NDArray[np.bool_],
) -> list[Change]:
    """Write `pixels` (h, w), where `where` says so, at (y0, x0) of a plane.

    Returns
    -------
    list of Change
        One, or for a plane across the store's own one for each line; all or none are written.
    """
    along = [k for k in (0, 1) if plane.axes[k] not in _last(store)]  # a write for each step
    changes: list[Change] = []
    with all_or_none(changes):
        for at in product(*(range(pixels.shape[k]) for k in along)):
            cut, offset = [slice(None), slice(None)], [y0, x0]
            for k, i in zip(along, at, strict=True):
                cut[k] = slice(i, i + 1)
                offset[k] += i
            line, chosen = (plane.slab(a[tuple(cut)]) for a in (pixels, where))
            if chosen.any():
                *index, y, x = (int(i) for i in plane.position(*offset))
                block = line.shape[-2:]
                changes.append(store.write(index, y, x, line.reshape(block), chosen.reshape(block)))
    return changes


@contextmanager
def all_or_none(changes: Sequence[Change]) -> Iterator[None]:
    """Take back what `changes` holds if something within fails."""
    try:
        yield
    except Exception:
        for change in reversed(changes):
            with suppress(Exception):  # the first failure is the one to tell of
                change.undo()
        raise


def _last(store: LabelStore) -> tuple[int, int]:
    return len(store.shape) - 2, len(store.shape) - 1
