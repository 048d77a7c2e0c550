"""Features of the windows used last, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import TileFeatures


class FeatureCache:
    """A least-recently-used cache with a budget of bytes. Safe to use from several threads.

    Parameters
    ----------
    max_bytes : int
        Budget. The window asked for last is kept even if it alone is larger.
    """

    def __init__(self, max_bytes: int = 1 << 30) -> None:
        self.max_bytes = max_bytes
        self._features: OrderedDict[Window, TileFeatures] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._encoding = threading.Lock()

    def get(self, window: Window, encode: Callable[[Window], TileFeatures]) -> TileFeatures:
        """Features of `window`; `encode` is called if they are not here.

        One window is encoded at a time; a window that is here is never waited for.
        """
        found = self._find(window)
        if found is not None:
            return found
        with self._encoding:
            found = self._find(window)  # another thread may have encoded it meanwhile
            if found is None:
                found = encode(window)
                self._put(window, found)
            return found

    def __contains__(self, window: Window) -> bool:
        with self._lock:
            return window in self._features

    def __len__(self) -> int:
        with self._lock:
            return len(self._features)

    def _find(self, window: Window) -> TileFeatures | None:
        with self._lock:
            if window in self._features:
                self._features.move_to_end(window)
                return self._features[window]
            return None

    def _put(self, window: Window, features: TileFeatures) -> None:
        with self._lock:
            self._features[window] = features
            self._bytes += _nbytes(features)
            while self._bytes > self.max_bytes and len(self._features) > 1:
                _, dropped = self._features.popitem(last=False)
                self._bytes -= _nbytes(dropped)


def _nbytes(features: TileFeatures) -> int:
    return sum(t.numel() * t.element_size() for t in features if t is not None)
