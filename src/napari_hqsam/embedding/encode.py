"""Read a window, bring it to the model's input, encode it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.source import ImageSource
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, TileFeatures


def read_window(source: ImageSource, mapping: IntensityMapping, window: Window) -> Tensor:
    """Pixels of a window in model pixels.

    Returns
    -------
    Tensor
        (1, 3, h, w), float32 in 0-255, (h, w) being `window.model_shape`. Resized by bilinear
        interpolation, with antialiasing where it shrinks.
    """
    (y, x), (h, w) = window.origin, window.shape
    pixels = mapping.apply(source.read(window.plane, y, x, y + h, x + w, window.level))
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    if window.model_shape == window.shape:
        return image
    return resize(image, window.model_shape)


def resize(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) to `shape`: bilinear, with antialiasing where it shrinks."""
    if shape[1] == 1:
        # torch's CPU kernel fills a single column from the first row; a single row it gets right
        turned = F.interpolate(images.mT, (1, shape[0]), mode="bilinear", antialias=True)
        return turned.mT
    return F.interpolate(images, shape, mode="bilinear", antialias=True)


def encode_window(
    model: HQSam, source: ImageSource, mapping: IntensityMapping, window: Window
) -> TileFeatures:
    """Features of one window, a batch of one, on the model's device."""
    with torch.inference_mode():
        image = read_window(source, mapping, window).to(model.device)
        return model.encode(model.preprocess(image))
