"""Labels on disk, changed in memory and written once: for thousands of steps at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box, slices, tiles

_SIDE = 1024
_BYTES = 2**29


class TiledLabels:
    """A `LabelArray` that holds tiles of another one in memory.

    Nobody else may change the other one meanwhile; what was written is there after `flush`.

    Parameters
    ----------
    labels : LabelArray
    limit : int
        Bytes that may be held. Beyond that the tile that was used longest ago is written.
    """

    def __init__(self, labels: LabelArray, limit: int = _BYTES) -> None:
        self._labels, self._limit = labels, limit
        self._held: dict[tuple[ArrayPlane, Box], NDArray[Any]] = {}  # used last, last
        self._changed: set[tuple[ArrayPlane, Box]] = set()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._labels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of integers."""
        return self._labels.dtype

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`."""
        if not self._tiled(plane):
            self.flush()
            return self._labels.read(plane, box)
        out = np.empty((box[2] - box[0], box[3] - box[1]), self.dtype)
        for part in tiles(box, (_SIDE, _SIDE)):
            tile, origin = self._tile(plane, part)
            out[slices(part, box)] = tile[slices(part, origin)]
        return out

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`."""
        if not self._tiled(plane):
            self.flush()
            self._held.clear()
            self._labels.write(plane, y0, x0, pixels, where)
            return
        box = y0, x0, y0 + pixels.shape[0], x0 + pixels.shape[1]
        for part in tiles(box, (_SIDE, _SIDE)):
            here = slices(part, box)
            if where[here].any():
                tile, origin = self._tile(plane, part)
                inner = tile[slices(part, origin)]
                np.copyto(inner, pixels[here], where=where[here], casting="unsafe")
                self._changed.add((plane, origin))

    def flush(self) -> None:
        """Write what is different.

        Raises
        ------
        HQSAMError
            If it cannot be written; flush again goes on with the rest.
        """
        for key in list(self._changed):
            self._write(key)

    def _tiled(self, plane: ArrayPlane) -> bool:
        return plane.axes == (plane.ndim - 2, plane.ndim - 1)

    def _tile(self, plane: ArrayPlane, part: Box) -> tuple[NDArray[Any], Box]:
        """The tile that a box lies in, and its own box."""
        height, width = plane.shape(self.shape)
        y0, x0 = part[0] - part[0] % _SIDE, part[1] - part[1] % _SIDE
        box = y0, x0, min(y0 + _SIDE, height), min(x0 + _SIDE, width)
        tile = self._held.pop((plane, box), None)
        if tile is None:
            tile = self._labels.read(plane, box)
            while self._held and (len(self._held) + 1) * tile.nbytes > self._limit:
                oldest = next(iter(self._held))
                self._write(oldest)
                del self._held[oldest]
        self._held[plane, box] = tile
        return tile, box

    def _write(self, key: tuple[ArrayPlane, Box]) -> None:
        if key in self._changed:
            plane, box = key
            where = self._held[key] != self._labels.read(plane, box)
            if where.any():
                self._labels.write(plane, box[0], box[1], self._held[key], where)
            self._changed.remove(key)
