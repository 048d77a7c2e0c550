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

    def __init__(self, max_bytes: int = 1 << 29) -> None:
        self.max_bytes = max_bytes
        self._features: OrderedDict[Window, TileFeatures] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._encoding: dict[Window, threading.Event] = {}

    def get(self, window: Window, encode: Callable[[Window], TileFeatures]) -> TileFeatures:
        """Features of `window`; `encode` is called if they are not here.

        Two threads that ask for one window encode it once; one that asks for another window
        waits for nobody.
        """
        while True:
            with self._lock:
                if window in self._features:
                    self._features.move_to_end(window)
                    return self._features[window]
                elsewhere = self._encoding.get(window)
                if elsewhere is None:
                    mine = self._encoding[window] = threading.Event()
                    break
            elsewhere.wait()  # then it is here, or the other thread has failed
        try:
            found = encode(window)
            self._put(window, found)
            return found
        finally:
            with self._lock:
                del self._encoding[window]
            mine.set()

    def __contains__(self, window: Window) -> bool:
        with self._lock:
            return window in self._features

    def __len__(self) -> int:
        with self._lock:
            return len(self._features)

    def _put(self, window: Window, features: TileFeatures) -> None:
        with self._lock:
            self._features[window] = features
            self._bytes += features.nbytes
            while self._bytes > self.max_bytes and len(self._features) > 1:
                _, dropped = self._features.popitem(last=False)
                self._bytes -= dropped.nbytes
