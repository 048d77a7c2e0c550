"""Where the features of a window come from: memory, the store, or the encoder."""

from __future__ import annotations

import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch

from napari_hqsam.embedding.cache import FeatureCache
from napari_hqsam.embedding.encode import (
    Pixels,
    at_model_size,
    encode_image,
    encode_images,
    read_pixels,
)
from napari_hqsam.embedding.gate import Gate
from napari_hqsam.embedding.store import EmbeddingStore, StoreUnavailable, pixels_hash
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.source import ImageSource
from napari_hqsam.images.windows import Box, Window
from napari_hqsam.modeling import HQSam, TileFeatures


class Stopped(Exception):
    """The encoding was stopped between two blocks."""


class Features:
    """Features of the windows of one image, by one model.

    A window is encoded by the thread that needs it first. Background threads (`prepare`) give way
    to those that a user waits for (`get`), between the encoder's blocks.

    Parameters
    ----------
    model : HQSam
    source : ImageSource
    mapping : IntensityMapping
    store : EmbeddingStore, optional
        Where features are looked up, and kept. If it cannot be written any more, there is one
        warning, and memory has to do.

    Attributes
    ----------
    cache : FeatureCache
    gate : Gate
        Closed while something is computed that a user waits for; decoding closes it, too.
    """

    def __init__(
        self,
        model: HQSam,
        source: ImageSource,
        mapping: IntensityMapping,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.model, self.source, self.mapping, self.store = model, source, mapping, store
        self.cache = FeatureCache()
        self.gate = Gate()
        self._lock = threading.Lock()
        self._checked: set[Window] = set()  # whose pixels are still those of the store
        self._writable = store is not None
        self._offered: dict[tuple[int, ...], set[Window]] = defaultdict(set)
        for window in store.windows() if store else ():
            self._offered[window.plane].add(window)

    def get(self, window: Window) -> TileFeatures:
        """Features of `window`, batch 1, on the model's device; a user waits for them."""

        def make(window: Window) -> TileFeatures:
            with self.gate.urgent():
                return self._prepared(window, lambda: None)

        return self.cache.get(window, make)

    def prepare(self, window: Window, stop: Callable[[], bool] = lambda: False) -> None:
        """Have the features of `window` at hand, in the store or else in memory; no hurry.

        Parameters
        ----------
        window : Window
        stop : callable
            Asked between the encoder's blocks.

        Raises
        ------
        Stopped
            If `stop` returned True.
        """

        def between() -> None:
            self.gate.wait()
            if stop():
                raise Stopped

        if window not in self:
            between()
            self.cache.get(window, lambda w: self._prepared(w, between))
        self._offer(window)

    def store_one(self, window: Window) -> None:
        """Encode `window` into the store and not into memory; an item of a long job.

        Raises
        ------
        HQSAMError
            If the store cannot be written.
        """
        assert self.store is not None
        if window not in self.store:
            pixels = self.read(window)
            self.keep(pixels, self.encode([pixels]))
        self._offer(window)

    def read(self, window: Window) -> Pixels:
        """The pixels of `window`, ready to be encoded; the first of the three steps of an item."""
        pixels = read_pixels(self.source, self.mapping, window)
        return Pixels(window, at_model_size(pixels, window), pixels_hash(pixels))

    def encode(self, several: Sequence[Pixels]) -> TileFeatures:
        """Features, B = their number, of windows that were read; the second step."""
        return encode_images(self.model, [each.image for each in several], self.gate.wait)

    def keep(self, pixels: Pixels, features: TileFeatures) -> None:
        """Write the features, batch 1, of a window into the store; the third step.

        Raises
        ------
        HQSAMError
            If the store cannot be written, or could not be before.
        """
        assert self.store is not None
        if not self._writable:
            raise HQSAMError(f"{self.store.path}: the features cannot be kept; free some space")
        try:
            self.store.write(pixels.window, features, pixels.digest)
        except StoreUnavailable:
            self._writable = False
            raise
        self._checked.add(pixels.window)
        self._offer(pixels.window)

    def __contains__(self, window: Window) -> bool:
        """Whether no encoding is needed for `window`."""
        return window in self.cache or (self.store is not None and window in self.store)

    def offered(self, plane: tuple[int, ...], box: Box) -> Iterator[Window]:
        """Windows that meet `box` of a plane, were prepared, and are still at hand.

        A store may hold very many: those elsewhere are not looked for on the disk.
        """
        with self._lock:
            windows = [w for w in self._offered.get(plane, ()) if w.meets(box)]
        for window in windows:
            if window in self:
                yield window
            else:  # dropped from memory, or evicted from the store
                with self._lock:
                    self._offered[plane].discard(window)

    def _offer(self, window: Window) -> None:
        with self._lock:
            self._offered[window.plane].add(window)

    def _prepared(self, window: Window, between: Callable[[], None]) -> TileFeatures:
        features = self._make(window, between)
        with torch.inference_mode():
            return self.model.prepare(features)

    def _make(self, window: Window, between: Callable[[], None]) -> TileFeatures:
        stored = self.store.read(window) if self.store is not None else None
        if stored is not None and window in self._checked:
            return stored.features.to(self.model.device)
        pixels = read_pixels(self.source, self.mapping, window)
        digest = "" if self.store is None else pixels_hash(pixels)
        if stored is not None and stored.pixels_hash == digest:
            self._checked.add(window)
            return stored.features.to(self.model.device)
        features = encode_image(self.model, at_model_size(pixels, window), between)
        if self.store is not None:  # the first click equals the second
            features = self.store.round(features)
        if self.store is not None and self._writable:
            try:
                self.store.write(window, features, digest)
                self._checked.add(window)
            except StoreUnavailable as error:
                self._writable = False
                warnings.warn(f"{error}; going on in memory", stacklevel=2)
        return features.to(self.model.device)
