"""How objects are followed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import Mode

Direction = Literal["both", "forward", "backward"]
DIRECTIONS = ("both", "forward", "backward")


@dataclass(frozen=True)
class PropagateSettings:
    """How objects are followed from slice to slice.

    Attributes
    ----------
    start, stop : int or None
        First position, and one after the last. None: until the object ends.
    direction : {"both", "forward", "backward"}
        From the seeds on. Between two seeds of an object it is always both.
    min_score : float
        An object ends where its score falls below; 0 to 1.
    smooth : float
        Standard deviation in slices, along the course, with which the distances from the boundary
        are averaged; 0 for not at all.
    spacing : float or None
        Step along the course in pixels of a slice: by so much more may a boundary move.
    mode, threshold
        As for `Segmenter.predict`.

    Raises
    ------
    HQSAMError
        If a value is not possible.
    """

    start: int | None = None
    stop: int | None = None
    direction: Direction = "both"
    min_score: float = 0.5
    smooth: float = 0.0
    spacing: float | None = None
    mode: Mode = "hq+sam"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise HQSAMError(f"direction {self.direction!r}: choose {', '.join(DIRECTIONS)}")
        if not 0 <= self.min_score <= 1:
            raise HQSAMError(f"min_score {self.min_score:g}: give a number from 0 to 1")
        if not (self.smooth >= 0 and math.isfinite(self.smooth)):
            raise HQSAMError(f"smooth {self.smooth:g}: give a number of slices, 0 for none")
        if self.spacing is not None and not (self.spacing > 0 and math.isfinite(self.spacing)):
            raise HQSAMError(f"spacing {self.spacing:g}: give the step in pixels, above 0")
        if not math.isfinite(self.threshold):
            raise HQSAMError(f"threshold {self.threshold}: give a number such as 0 or -1.5")
        if self.start is not None and self.stop is not None and self.start >= self.stop:
            raise HQSAMError(
                f"from {self.start} to before {self.stop}: there is no slice; give a stop above "
                "the start"
            )
