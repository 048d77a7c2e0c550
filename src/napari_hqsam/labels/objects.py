"""The objects of a label image, each with its masks: what is exported, measured and undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.change import Runs
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box


@dataclass(frozen=True, eq=False)
class PlaneMask:
    """The mask of an object on one plane, run-length encoded.

    Attributes
    ----------
    plane : ArrayPlane
    bbox : tuple of int
        (y0, x0, y1, x1), half-open, in pixels of the plane.
    runs : Runs
        Of bool, for all pixels of `bbox`, row by row.
    score : float or None
        How sure propagation was of it, 0 to 1, if it was propagated here from another plane and
        nobody has changed it since; None if somebody vouches for it.
    """

    plane: ArrayPlane
    bbox: Box
    runs: Runs = field(repr=False)
    score: float | None = None

    @classmethod
    def of(cls, plane: ArrayPlane, bbox: Box, data: NDArray[np.bool_]) -> Self:
        """The mask whose pixels in `bbox` are `data` (h, w)."""
        return cls(plane, bbox, Runs.of(np.asarray(data, dtype=bool).ravel()))

    @property
    def data(self) -> NDArray[np.bool_]:
        """(h, w), the mask inside `bbox`; made anew each time."""
        y0, x0, y1, x1 = self.bbox
        return self.runs.expand().reshape(y1 - y0, x1 - x0)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.runs.lengths[self.runs.values.astype(bool)].sum())

    def to_json(self) -> dict[str, Any]:
        """As plain numbers: lengths of runs that are in turn outside and inside the object."""
        lengths = self.runs.lengths.tolist()
        if len(self.runs.values) and self.runs.values[0]:
            lengths.insert(0, 0)
        saved = {
            "axes": list(self.plane.axes),
            "index": list(self.plane.index),
            "bbox": list(self.bbox),
            "counts": lengths,
        }
        return saved if self.score is None else saved | {"score": float(self.score)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        y0, x0, y1, x1 = (int(n) for n in saved["bbox"])
        lengths = np.asarray(saved["counts"], dtype=np.uint32)
        values = np.arange(len(lengths)) % 2 == 1
        if int(lengths.sum()) != (y1 - y0) * (x1 - x0):
            raise ValueError(f"runs of {int(lengths.sum())} pixels in a box {saved['bbox']}")
        i, j = (int(n) for n in saved["axes"])
        plane = ArrayPlane((i, j), tuple(int(n) for n in saved["index"]))
        runs = Runs(values[lengths > 0], lengths[lengths > 0])
        score = saved.get("score")
        return cls(plane, (y0, x0, y1, x1), runs, None if score is None else float(score))


@dataclass(frozen=True, eq=False)
class LabelObject:
    """One object.

    Attributes
    ----------
    id : int
        Its label, from 1 up.
    masks : tuple of PlaneMask
        At most one for each plane. They may overlap those of other objects, which the label image
        cannot show.
    class_name : str
    score : float or None
        The IoU with the truth that the network predicts.
    status : {"new", "accepted", "to fix"}
        What somebody who looked at it thought of it.
    """

    id: int
    masks: tuple[PlaneMask, ...]
    class_name: str = ""
    score: float | None = None
    status: str = "new"

    @property
    def area(self) -> int:
        """Number of pixels, on all planes."""
        return sum(mask.area for mask in self.masks)
