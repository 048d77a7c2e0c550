"""The mask of an object on one slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box, common
from napari_hqsam.segmentation.mask import trimmed


@dataclass(frozen=True, eq=False)
class SliceMask:
    """The mask of an object on one slice.

    Attributes
    ----------
    label : int
        Of the object.
    position : int
        Of the slice along the course.
    data : ndarray of bool
        (h, w), the mask inside `bbox`.
    bbox : tuple of int
        (y0, x0, y1, x1) in pixels of the plane, half-open.
    score : float or None
        0 to 1, how sure the propagation is; None for a seed, which the user vouches for.
    """

    label: int
    position: int
    data: NDArray[np.bool_]
    bbox: Box
    score: float | None = None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.data))

    @property
    def centroid(self) -> tuple[float, float]:
        """(y, x) in pixels of the plane."""
        y, x = np.nonzero(self.data)
        return float(y.mean()) + self.bbox[0], float(x.mean()) + self.bbox[1]

    @classmethod
    def of(
        cls, label: int, position: int, data: NDArray[np.bool_], box: Box, score: float | None
    ) -> Self:
        """A mask (h, w) on a box, cut to where it has pixels."""
        data, bbox = trimmed(np.asarray(data, dtype=bool), box[:2])
        return cls(label, position, data, bbox, score)

    def on(self, box: Box) -> NDArray[np.bool_]:
        """The mask on the pixels (h, w) of another box."""
        out = np.zeros((box[2] - box[0], box[3] - box[1]), dtype=bool)
        low, high = np.maximum(box[:2], self.bbox[:2]), np.minimum(box[2:], self.bbox[2:])
        if (low < high).all():
            (y0, x0), (y1, x1) = low - box[:2], high - box[:2]
            (v0, u0), (v1, u1) = low - self.bbox[:2], high - self.bbox[:2]
            out[y0:y1, x0:x1] = self.data[v0:v1, u0:u1]
        return out

    def without(self, others: list[SliceMask]) -> SliceMask:
        """What of it lies on none of the others."""
        left = self.data
        for other in others:
            if common(self.bbox, other.bbox) is not None:
                left = left & ~other.on(self.bbox)
        if left is self.data:
            return self
        return SliceMask.of(self.label, self.position, left, self.bbox, self.score)

    def iou(self, other: SliceMask) -> float:
        """Intersection over union with another mask of the slice."""
        shared = int(np.count_nonzero(self.data & other.on(self.bbox)))
        return shared / max(self.area + other.area - shared, 1)

    def scored(self, score: float | None) -> SliceMask:
        """The same with another score."""
        return replace(self, score=score)

    def packed(self) -> dict[str, NDArray[Any]]:
        """As arrays; see `unpacked`."""
        score = np.nan if self.score is None else self.score
        return {
            "about": np.array([self.label, self.position, *self.bbox], np.int64),
            "score": np.array(score, np.float64),
            "bits": np.packbits(self.data),
        }

    @classmethod
    def unpacked(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `packed` gave."""
        label, position, y0, x0, y1, x1 = arrays["about"].tolist()
        shape, score = (y1 - y0, x1 - x0), float(arrays["score"])
        bits = np.unpackbits(arrays["bits"], count=shape[0] * shape[1]).astype(bool)
        box = (y0, x0, y1, x1)
        return cls(label, position, bits.reshape(shape), box, None if np.isnan(score) else score)
