"""SAM's mask, shown while the HQ mask is still being made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from napari_hqsam.segmentation.decode import Prediction

# A wait that is noticed, in seconds.
_LONG = 0.05


class SamFirst:
    """Hands out SAM's mask of an object early, on computers where the HQ mask takes long.

    Attributes
    ----------
    show : callable or None
        Takes the prediction without its HQ mask; None to have none.
    seconds : float
        How long the HQ mask took last, beyond SAM's.
    """

    def __init__(self) -> None:
        self.show: Callable[[Prediction], None] | None = None
        self.seconds = 0.0

    @contextmanager
    def decoding(self) -> Iterator[Callable[[Prediction], None]]:
        """While an object is decoded: what to call once SAM's mask is there."""
        began: list[float] = []

        def first(prediction: Prediction) -> None:
            if self.show is not None and self.seconds > _LONG:
                self.show(prediction)
            began.append(time.perf_counter())

        yield first
        if began:
            self.seconds = time.perf_counter() - began[0]
