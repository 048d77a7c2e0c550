"""An image as a napari Image layer holds it. napari itself is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.source import ImageSource


def source_from_layer(layer: Any) -> ImageSource:
    """The image of a layer, with its pyramid, scale and units; no pixels are read.

    Raises
    ------
    HQSAMError
        If it is no Image layer.
    """
    if not hasattr(layer, "contrast_limits") or not hasattr(layer, "rgb"):
        name, kind = getattr(layer, "name", layer), type(layer).__name__
        raise HQSAMError(f"layer {name!r} is a {kind} layer: choose an Image layer")
    levels = list(layer.data) if layer.multiscale else [layer.data]
    # Letters for the sliders; what they are called makes no difference here.
    axes = "abdefghijklmnopqrstz"[-(layer.ndim - 2) :] + "yx" if layer.ndim > 2 else "yx"
    return ImageSource(
        levels,
        axes + "c" if layer.rgb else axes,
        scale=tuple(layer.scale),
        units=tuple(str(u) for u in layer.units),
        rgb=bool(layer.rgb),
        name=str(layer.name),
    )


def limits_from_layer(layer: Any) -> tuple[float, float] | None:
    """The contrast limits of a layer, or None for colours and where nobody has chosen any.

    Limits that span the whole range of an integer type are what napari starts with; a dim image
    is nearly black between them.
    """
    if layer.rgb:
        return None
    low, high = (float(v) for v in layer.contrast_limits)
    dtype = np.dtype(layer.dtype)
    if dtype.kind in "iu" and (low, high) == (np.iinfo(dtype).min, np.iinfo(dtype).max):
        return None
    return low, high
