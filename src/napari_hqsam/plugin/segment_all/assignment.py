"""What the dock has done to all of an image: made on the main thread, done in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.plugin.request import Subject
    from napari_hqsam.plugin.segment_all.placement import Placement
    from napari_hqsam.segmentation import Segmenter

Method = Literal["refine", "automatic", "drawn"]

METHODS: list[tuple[str, Method]] = [
    ("From labels (refine)", "refine"),
    ("Automatic", "automatic"),
    ("From points/boxes", "drawn"),
]

# In bytes: larger labels are not copied.
_COPIED = 2**29


@dataclass(frozen=True, eq=False)
class Assignment:
    """One job.

    Attributes
    ----------
    subject : Subject
        Image, contrast, model and device.
    placement : Placement
        Of the labels that are made.
    method : str
    given : object
        What the objects are found from: a label array, "grid" or "threshold", or prompts by plane.
    options : Mapping
        Further arguments of `Segmenter.refine` or `Segmenter.segment_all`.
    planes : sequence of tuple of int, optional
        All by default.
    region : (y0, x0, y1, x1) or ndarray (V, 2), optional
        In pixels; whole planes by default.
    """

    subject: Subject
    placement: Placement
    method: Method
    given: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    planes: Sequence[tuple[int, ...]] | None = None
    region: Any = None
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def settled(self) -> Assignment:
        """The same, of labels as they are now: the user may go on painting."""
        if isinstance(self.given, np.ndarray) and self.given.nbytes <= _COPIED:
            return replace(self, given=self.given.copy())
        return self

    def job(self, segmenter: Segmenter, out: Path | None = None) -> Any:
        """The `LabelJob` that does it.

        Parameters
        ----------
        segmenter : Segmenter
            Of `subject`.
        out : pathlib.Path, optional
            A label store .zarr that is made; in memory without it.
        """
        where = {"planes": self.planes, "region": self.region, "out": out}
        if self.method == "refine":
            return segmenter.refine(self.given, **self.options, **where)
        return segmenter.segment_all(self.given, **self.options, **where)

    def preview(self, segmenter: Segmenter, plane: tuple[int, ...], box: Box) -> NDArray[Any]:
        """The labels (h, w) that it finds in a box of a plane."""
        if self.method == "refine":
            # It looks through the labels once, and then knows them wherever the view goes.
            if self._kept.get("for") is not segmenter:
                job = segmenter.refine(self.given, **self.options)
                self._kept.update({"for": segmenter, "job": job})
            return self._kept["job"].preview(plane, box)
        y0, x0, y1, x1 = box
        given = self.given
        if self.method == "drawn":
            if plane not in given:
                return np.zeros((y1 - y0, x1 - x0), np.uint32)
            given = {plane: given[plane]}
        # Objects belong to a region if their middle does: at the edge of the view it may not.
        height, width = self.placement.frame.plane_shape
        my, mx = (y1 - y0) // 2, (x1 - x0) // 2
        around = max(y0 - my, 0), max(x0 - mx, 0), min(y1 + my, height), min(x1 + mx, width)
        with segmenter.segment_all(given, **self.options, planes=[plane], region=around) as job:
            return job.preview(plane, box)
