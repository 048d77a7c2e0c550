"""The windows that were read last, for neighbours that need them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from napari_hqsam.segmentation.stitch.instances import Instances

_BYTES = 2**28


class Recent:
    """Reads windows, and keeps as many as fit a budget.

    Parameters
    ----------
    read : callable
        Gives the instances of a window.
    budget : int
        Bytes; the last window is kept whatever it takes.
    """

    def __init__(self, read: Callable[[int], Instances], budget: int = _BYTES) -> None:
        self._read, self._budget, self._bytes = read, budget, 0
        self._kept: OrderedDict[int, Instances] = OrderedDict()

    def __call__(self, i: int) -> Instances:
        """The instances of window `i`."""
        found = self._kept.get(i)
        if found is None:
            found = self._kept[i] = self._read(i)
            self._bytes += found.nbytes
            while self._bytes > self._budget and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
        self._kept.move_to_end(i)
        return found
