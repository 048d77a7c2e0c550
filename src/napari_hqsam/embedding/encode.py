"""Read a window, bring it to the model's input, encode it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.source import ImageSource
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, TileFeatures

# More pixels than this are read in strips, each shrunk before the next is read.
_STRIP = 1 << 24


class Pixels(NamedTuple):
    """A window that was read, ready to be encoded.

    Attributes
    ----------
    window : Window
    image : Tensor
        (1, 3, h, w), 0-255, as `read_window` gives it.
    digest : str
        `pixels_hash` of what was read, before it was brought to model pixels.
    """

    window: Window
    image: Tensor
    digest: str


def reading_bytes(window: Window) -> int:
    """Memory that reading a window takes, about; more than what is left of it when it is shrunk."""
    within, shown = (h * w for h, w in (window.shape, window.model_shape))
    return 3 * 4 * max(min(within, _STRIP), shown)


def read_window(source: ImageSource, mapping: IntensityMapping, window: Window) -> Tensor:
    """Pixels of a window in model pixels.

    A window that is shrunk is read from the coarsest level of the pyramid that is still as fine
    as the model's pixels; the memory needed does not grow with the window.

    Returns
    -------
    Tensor
        (1, 3, h, w), float32 in 0-255, (h, w) being `window.model_shape`. Resized by bilinear
        interpolation, with antialiasing where it shrinks.
    """
    return at_model_size(read_pixels(source, mapping, window), window)


def at_model_size(pixels: Tensor, window: Window) -> Tensor:
    """What `read_pixels` gives, in model pixels."""
    if pixels.shape[2:] == window.model_shape:
        return pixels
    return resize(pixels, window.model_shape)


def resize(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) to `shape`: bilinear, with antialiasing where it shrinks."""
    if shape[1] == 1:
        # torch's CPU kernel fills a single column from the first row; a single row it gets right
        turned = F.interpolate(images.mT, (1, shape[0]), mode="bilinear", antialias=True)
        return turned.mT
    return F.interpolate(images, shape, mode="bilinear", antialias=True)


def encode_image(
    model: HQSam, image: Tensor, between: Callable[[], None] = lambda: None
) -> TileFeatures:
    """Features of what `read_window` gives; `between` as in `HQSam.encode`."""
    return encode_images(model, [image], between)


def encode_images(
    model: HQSam, images: Sequence[Tensor], between: Callable[[], None] = lambda: None
) -> TileFeatures:
    """Features of several images at once, B = their number.

    They differ from those of one image by rounding: the sums are taken in another order.

    Parameters
    ----------
    model : HQSam
    images : sequence of Tensor
        (1, 3, h, w) each, as `read_window` gives them; they may differ in size.
    between : callable
        As in `HQSam.encode`.
    """
    device = model.device
    with torch.inference_mode():
        # the GPU fetches by itself what lies in pinned memory
        there = [image.to(device, non_blocking=device.type == "cuda") for image in images]
        inputs = [model.preprocess(image) for image in there]
        return model.encode(inputs[0] if len(inputs) == 1 else torch.cat(inputs), between)


def read_pixels(source: ImageSource, mapping: IntensityMapping, window: Window) -> Tensor:
    """A window's pixels (1, 3, h, w), 0-255, at a level at least as fine as the model's pixels.

    They are the same, bit by bit, on every computer; what a resize makes of them is not.
    """
    fine = source.downsample(window.level)
    level = max(window.level, source.best_level(window.scale / max(fine)))
    coarse = source.downsample(level)
    box = []
    for o, n, f, c, length in zip(
        window.origin, window.shape, fine, coarse, source.yx_shape(level), strict=True
    ):
        start = min(round(o * f / c), length - 1)
        box.append((start, min(length, max(start + 1, round((o + n) * f / c)))))
    (y0, y1), (x0, x1) = box
    # of each strip so many rows and columns are averaged: to twice the model's pixels at most
    factor = int(min((y1 - y0) / window.model_shape[0], (x1 - x0) / window.model_shape[1]) / 2)
    if (y1 - y0) * (x1 - x0) <= _STRIP or factor < 2:
        return _tensor(mapping.apply(source.read(window.plane, y0, x0, y1, x1, level)))
    rows = max(1, _STRIP // (x1 - x0) // factor) * factor
    strips = []
    for top in range(y0, y1, rows):
        pixels = source.read(window.plane, top, x0, min(top + rows, y1), x1, level)
        strips.append(_shrink(mapping.apply(pixels), factor))
    return torch.cat(strips, dim=2)


def _shrink(pixels: NDArray[np.float32], factor: int) -> Tensor:
    """Means of blocks of factor × factor pixels; those at the end may be smaller."""
    image = _tensor(pixels)
    return F.avg_pool2d(image, factor, ceil_mode=True, count_include_pad=False)


def _tensor(pixels: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
