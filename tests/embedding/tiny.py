"""A store's surroundings, as small as they come: an image, a model of a few weights, features.

Run as a program it fills a store, so that tests can kill it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_hqsam.embedding.mark import window_name
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.images import ImageSource, IntensityMapping, open_image
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, TileFeatures

S = 64
MAPPING = IntensityMapping.from_limits((0, 1000))
WINDOWS = [Window((z,), 0, (0, x), S, (S, 40), S) for z in range(6) for x in (0, 16, 48)]


def image(
    shape: tuple[int, ...] = (6, 64, 88), dtype: str = "uint16", **options: Any
) -> ImageSource:
    return open_image(np.zeros(shape, dtype), **options)


def model(*, encoder: float = 1, head: float = 2, tail: float = 3, hq: bool = True) -> HQSam:
    """HQSam with one weight in each part; `tail` is what no features are made of."""
    decoder = nn.Module()
    decoder.has_hq = hq
    if hq:
        decoder.compress_vit_feat = _weight(head)
        decoder.embedding_encoder = _weight(head)
        decoder.hf_mlp = _weight(tail)
    return HQSam(
        "micro",
        _weight(encoder),
        _weight(tail),
        decoder,
        input_size=S,
        pixel_mean=(127.0,) * 3,
        pixel_std=(128.0,) * 3,
    ).requires_grad_(False)


def _weight(value: float) -> nn.Module:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def features(window: Window, seed: int = 0, *, hq: bool = True) -> TileFeatures:
    """Random numbers that depend on nothing but the window and `seed`."""
    rng = np.random.default_rng([seed, *window_name(window).encode()])

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    return TileFeatures(draw(1, 256, S // 16, S // 16), draw(1, 32, S // 4, S // 4) if hq else None)


def open_store(path: Path) -> EmbeddingStore:
    return EmbeddingStore.open(path, image(), MAPPING, model())


def fill(store: EmbeddingStore, windows: Iterable[Window] = WINDOWS) -> None:
    for window in windows:
        if store.read(window) is None:
            store.write(window, features(window), f"pixels of {window_name(window)}")
            print(window_name(window), flush=True)


def contents(store: EmbeddingStore) -> dict[str, bytes | object]:
    """All that the store's run holds: chunks to the byte, and marks but for their dates."""
    run = store.run
    found: dict[str, bytes | object] = {
        str(file.relative_to(run.folder)): file.read_bytes()
        for array in run.array_names
        for file in (run.folder / array).iterdir()
    }
    for window in store.windows():
        found[window_name(window)] = run.read_mark(window_name(window))
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    turn, path = sys.stdin.readline().rstrip("\n").split(" ", 1)
    fill(open_store(Path(path)), WINDOWS[int(turn) :] + WINDOWS[: int(turn)])
