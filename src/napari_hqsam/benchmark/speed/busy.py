"""A whole image encoded into a store, beside what encoding its windows alone takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from napari_hqsam.benchmark.figures import Figure, median
from napari_hqsam.benchmark.pictures import LIMITS, draw_patch
from napari_hqsam.benchmark.speed.machine import finisher
from napari_hqsam.benchmark.speed.pairs import in_turn
from napari_hqsam.benchmark.speed.windows import windows
from napari_hqsam.images.windows import OVERLAP
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter

_GPU_SIDE, _PERCENT = 20_000, 85.0
_CHUNK, _TILE = 512, 2048


def measure_busy(
    model: HQSam,
    folder: Path,
    *,
    side: int | None = None,
    batch: int = 1,
    rounds: int = 1,
    tell: Callable[[str], object] = lambda _: None,
) -> Figure:
    """The share of the time in which the encoder is at work while an image is encoded end to end.

    An image on disk is encoded into a new store by `Segmenter.embed`: its pixels are read and
    normalised, the features written. In turn with it as many windows are encoded, and nothing else.

    Parameters
    ----------
    model : HQSam
        Encodes in its own precision.
    folder : pathlib.Path
    side : int, optional
        Of the image in pixels; by default 20,000 on a CUDA GPU, elsewhere that of four windows.
    batch : int
        Windows encoded at once.
    rounds : int
    tell : callable
    """
    on_gpu = model.device.type == "cuda"
    if side is None:
        side = _GPU_SIDE if on_gpu else round(model.input_size * (2 - OVERLAP))
    tell("writing an image")
    image = folder / "whole.zarr"
    write_plane(image, side)
    stores = iter(range(rounds + 1))
    images, counts = windows(model, batch), [0]

    def embed() -> None:
        store = folder / f"whole-store-{next(stores)}"
        with Segmenter(image, model=model, contrast_limits=LIMITS, store=store) as segmenter:
            job = segmenter.embed(batch=batch)
            counts[0] = len(job.plan)
            job.result()

    def encode() -> None:
        with torch.inference_mode():
            for start in range(0, counts[0], batch):
                model.encode(images[: counts[0] - start])

    runs = {"end to end": embed, "encoding alone": encode}
    times = in_turn(runs, rounds, finish=finisher(model.device), tell=tell)
    shares = times.ratios("encoding alone", "end to end")
    whole, alone = (times.median(name) for name in runs)
    return Figure(
        "encoding, of the time of an image end to end",
        100 * median(shares),
        "%",
        _PERCENT if on_gpu else None,
        f"{side:,} pixels square, {counts[0]:,} windows in {model.precision}: {whole:.3g} s, "
        f"their encoding {alone:.3g} s; batches of {batch}",
        at_least=True,
    )


def write_plane(path: Path, side: int) -> None:
    """Write a zarr array of side × side pixels, uint16: one picture again and again."""
    import numpy as np
    import zarr

    tile, _ = draw_patch(np.random.default_rng(0), min(side, _TILE))
    chunk = min(_CHUNK, side)
    array = zarr.create_array(path, shape=(side, side), dtype=tile.dtype, chunks=(chunk, chunk))
    for y in range(0, side, len(tile)):
        for x in range(0, side, len(tile)):
            height, width = min(len(tile), side - y), min(len(tile), side - x)
            array[y : y + height, x : x + width] = tile[:height, :width]
