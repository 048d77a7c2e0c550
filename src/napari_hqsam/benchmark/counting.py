"""What a network is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from napari_hqsam.embedding.cache import FeatureCache
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Decoded, TileFeatures
from napari_hqsam.segmentation import Segmenter


@dataclass
class Counts:
    """What a network was asked to do.

    Attributes
    ----------
    encoded, decoded, calls : int
        Windows, prompts, and batches of these.
    windows : set of Window
        Those whose features were needed.
    """

    encoded: int = 0
    decoded: int = 0
    calls: int = 0
    windows: set[Window] = field(default_factory=set)


@contextmanager
def counting(segmenter: Segmenter, cache: FeatureCache | None = None) -> Iterator[Counts]:
    """Count what the network of a Segmenter does within.

    Parameters
    ----------
    segmenter : Segmenter
    cache : FeatureCache, optional
        Takes the place of its own.
    """
    counts, model = Counts(), segmenter.model
    cache = segmenter.features.cache if cache is None else cache
    encode, decode, get = model.encode, model.decode, cache.get

    def encoding(images: Tensor, *args: Any, **options: Any) -> TileFeatures:
        counts.encoded += len(images)
        return encode(images, *args, **options)

    def decoding(features: TileFeatures, index: Tensor, *args: Any, **options: Any) -> Decoded:
        counts.decoded += len(index)
        counts.calls += 1
        return decode(features, index, *args, **options)

    def getting(window: Window, encode: Callable[[Window], TileFeatures]) -> TileFeatures:
        counts.windows.add(window)
        return get(window, encode)

    own, segmenter.features.cache = segmenter.features.cache, cache
    vars(model).update(encode=encoding, decode=decoding)
    vars(cache).update(get=getting)
    try:
        yield counts
    finally:
        del vars(model)["encode"], vars(model)["decode"], vars(cache)["get"]
        segmenter.features.cache = own
