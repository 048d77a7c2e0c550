"""How sure it is that a mask on the next slice is the object, and not what comes after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.segmentation.volume.answers import Answer

# Logistic regression of whether a mask meets the object (IoU above 0.4), on 1,100 slices of five
# labelled stacks, up to six slices beyond the ends of the objects.
_IOU, _MARGIN, _GROWTH, _AGREEMENT, _OFFSET = 2.98, 2.77, 1.57, 2.04, -6.17
# Logits beyond these say no more.
_LIMIT = 10.0
# Slices next to the seed with which later ones are compared.
_FIRST = 2


@dataclass(frozen=True)
class Evidence:
    """What speaks for a mask.

    Attributes
    ----------
    iou : float
        What the network expects of it.
    margin : float
        Mean of its logits.
    agreement : float
        IoU of the network's answers to two prompts.
    area : int
        Pixels.
    """

    iou: float
    margin: float
    agreement: float
    area: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_], answer: Answer) -> Evidence:
        """Of a mask (h, w), not empty."""
        margin = float(np.clip(answer.logits[mask], -_LIMIT, _LIMIT).mean())
        return cls(answer.iou, margin, answer.agreement, int(np.count_nonzero(mask)))


class Judge:
    """Scores the masks of one object: by how much less is seen of it than next to its first seed.

    What the network expects differs from image to image and object to object; next to the seed the
    object is there for sure, and that is the measure for the slices that follow. Further seeds,
    perhaps where the object is hard to see, do not change it.

    Parameters
    ----------
    area : int
        Of the largest seed so far.
    first : list of (float, float)
        IoU and margin of the first slices that were judged.
    """

    def __init__(self, area: int, first: list[tuple[float, float]] | None = None) -> None:
        self.area, self.first = area, first or []

    def compare(self, area: int) -> None:
        """Take in the area of another seed."""
        self.area = max(self.area, area)

    def score(self, evidence: Evidence) -> float:
        """0 to 1: how likely it is that the mask is the object's."""
        if len(self.first) < _FIRST:
            self.first.append((evidence.iou, evidence.margin))
        iou, margin = np.mean(self.first, axis=0).tolist()
        told = (
            _IOU * min(evidence.iou / max(iou, 0.2), 3)
            + _MARGIN * min(max(evidence.margin / max(margin, 0.5), -1), 3)
            + _GROWTH * min(max(math.log(evidence.area / max(self.area, 1)), -2), 0.7)
            + _AGREEMENT * evidence.agreement
            + _OFFSET
        )
        return 1 / (1 + math.exp(-told))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a record of the job."""
        return {"area": np.array(self.area), "first": np.array(self.first).reshape(-1, 2)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` gave."""
        return cls(int(arrays["area"]), [(a, b) for a, b in arrays["first"].tolist()])
