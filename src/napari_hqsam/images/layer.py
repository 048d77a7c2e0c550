"""Images as napari Image layers hold them. napari itself is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.channels import StackedArray
from napari_hqsam.images.chunk_cache import keep_chunks
from napari_hqsam.images.source import ImageSource

CHANNEL = "napari-hqsam channel"
"""Key of a layer's metadata: which channel of its file the layer shows."""

Limits = tuple[float, float]


def source_from_layers(layers: Sequence[Any]) -> ImageSource:
    """The image of one layer, or of two or three layers that are its channels.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        In the order of the channels: two are shown to the network as red and green, three as
        red, green, blue. They must have the same shape and place. Pyramid levels are used as far
        as all of them have them.

    Raises
    ------
    HQSAMError
        If one is no Image layer, or they do not fit each other.
    """
    if not 1 <= len(layers) <= 3:
        raise HQSAMError(f"{len(layers)} layers: choose one, two or three as channels")
    first = layers[0]
    for layer in layers:
        _check_kind(layer)
        if layer is not first:
            _check_fit(first, layer)
    levels, rgb = _levels(first), bool(first.rgb)
    axes = _letters(first)
    if rgb:
        axes += "c"
    elif len(layers) > 1:
        stacks = zip(*(_levels(layer) for layer in layers), strict=False)
        alike = [arrays for arrays in stacks if len({tuple(a.shape) for a in arrays}) == 1]
        named = [str(layer.name) for layer in layers]
        levels = [
            StackedArray([keep_chunks(a, n) for a, n in zip(arrays, named, strict=True)])
            for arrays in alike
        ]
        axes = "c" + axes
    numbers = [getattr(of, "metadata", {}).get(CHANNEL, i) for i, of in enumerate(layers)]
    return ImageSource(
        levels,
        axes,
        scale=tuple(first.scale),
        units=tuple(str(u) for u in first.units),
        rgb=rgb,
        name=" + ".join(str(layer.name) for layer in layers),
        channel_numbers=None if rgb else numbers,
    )


def limits_from_layer(layer: Any) -> Limits | None:
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


def limits_from_layers(layers: Sequence[Any]) -> list[Limits | None] | None:
    """The contrast limits of each layer, for `IntensityMapping.choose`; None for colours."""
    if layers[0].rgb:
        return None
    return [limits_from_layer(layer) for layer in layers]


def _levels(layer: Any) -> list[Any]:
    return list(layer.data) if layer.multiscale else [layer.data]


def _letters(layer: Any) -> str:
    """The layer's own axis labels where they are letters, else z for the last slider."""
    labels = "".join(getattr(layer, "axis_labels", ())).lower()
    usable = len(labels) == layer.ndim == len(set(labels)) and labels.isalpha()
    if usable and labels.endswith("yx") and "c" not in labels:
        return labels
    return "abdefghijklmnopqrstz"[-(layer.ndim - 2) :] + "yx" if layer.ndim > 2 else "yx"


def _check_kind(layer: Any) -> None:
    if not hasattr(layer, "contrast_limits") or not hasattr(layer, "rgb"):
        name, kind = getattr(layer, "name", layer), type(layer).__name__
        raise HQSAMError(f"layer {name!r} is a {kind} layer: choose an Image layer")


def _check_fit(first: Any, other: Any) -> None:
    pair = f"layers {str(first.name)!r} and {str(other.name)!r}"
    if first.rgb or other.rgb:
        raise HQSAMError(f"{pair}: a layer of colours cannot be one of several channels")
    shapes = [tuple(int(n) for n in _levels(layer)[0].shape) for layer in (first, other)]
    if shapes[0] != shapes[1]:
        raise HQSAMError(
            f"{pair} have different shapes, {shapes[0]} and {shapes[1]}: "
            "channels must show the same pixels"
        )
    if not all(
        np.allclose(getattr(first, what, 0), getattr(other, what, 0))
        for what in ("scale", "translate")
    ):
        raise HQSAMError(
            f"{pair} lie at different places or scales: channels must show the same pixels"
        )
