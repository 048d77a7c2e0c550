"""What the user chooses for automatic masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import MAX_MAGNIFICATION

Method = Literal["grid", "threshold"]
METHODS: tuple[Method, ...] = get_args(Method)

MOST_CROPS = round(math.log2(MAX_MAGNIFICATION))
_MOST_POINTS = 128


@dataclass(frozen=True)
class AutomaticSettings:
    """How all objects of an image are looked for.

    Attributes
    ----------
    method : {"grid", "threshold"}
        A click on each point of a grid, or a box around each object that a threshold shows.
    diameter : float or None
        Of a typical object, in pixels of the level worked on: windows are chosen in which it spans
        an eighth to a quarter of their side, and what is longer than four such objects is left
        out. None looks at the image 1:1.
    points_per_side : int or None
        Of the grid, in a window. None sets the points half a diameter apart, or without a
        diameter 32 model pixels.
    min_iou : float or None
        IoU, as the network predicts it, below which a mask is dropped, 0 to 1; None for what
        suits the model and the method.
    min_stability : float or None
        IoU of a mask with itself at another threshold below which it is dropped, 0 to 1; None for
        what suits the model. For the grid.
    max_overlap : float
        Of two masks whose IoU is larger the better one is kept.
    min_size, max_size : int
        Pixels of an object; None for any size.
    exclude_edges : bool
        Drop objects that touch the edge of the plane.
    crops : int
        In so many further sets of windows, each magnified twice as much as the one before, smaller
        objects are looked for.
    mode : {"hq+sam", "hq", "sam"}
        Which logits make the mask.
    threshold : float
        Logits above it are the object.
    fill_holes : bool

    Raises
    ------
    HQSAMError
        If a value is out of range; the message says which.
    """

    method: Method = "grid"
    diameter: float | None = None
    points_per_side: int | None = None
    min_iou: float | None = None
    min_stability: float | None = None
    max_overlap: float = 0.5
    min_size: int = 0
    max_size: int | None = None
    exclude_edges: bool = False
    crops: int = 0
    mode: Literal["hq+sam", "hq", "sam"] = "hq+sam"
    threshold: float = 0.0
    fill_holes: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise HQSAMError(f"method {self.method!r}: choose one of {', '.join(METHODS)}")
        if self.diameter is not None and not 0 < self.diameter < math.inf:
            raise HQSAMError(
                f"diameter {self.diameter}: give that of a typical object in pixels, such as 30"
            )
        points = self.points_per_side
        if points is not None and not 1 <= points <= _MOST_POINTS:
            raise HQSAMError(f"points per side {points}: give 1 to {_MOST_POINTS}")
        for name in ("min_iou", "min_stability", "max_overlap"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise HQSAMError(f"{name.replace('_', ' ')} {share}: give a number from 0 to 1")
        check_sizes(self.min_size, self.max_size)
        if not 0 <= self.crops <= MOST_CROPS:
            raise HQSAMError(f"crops {self.crops}: give 0 to {MOST_CROPS}")
        if not math.isfinite(self.threshold):
            raise HQSAMError(f"threshold {self.threshold}: give a number such as 0 or -1.5")


def check_sizes(min_size: int, max_size: int | None) -> None:
    """Raise HQSAMError if no object can be of the sizes that are wanted."""
    if min_size < 0:
        raise HQSAMError(f"min. size {min_size}: give a number of pixels, 0 for any size")
    if max_size is not None and max_size < max(min_size, 1):
        raise HQSAMError(
            f"max. size {max_size}: give a number of pixels of at least the min. size, {min_size}"
        )
