"""Boxes of planes, read from an array whose axes are in any order, as (y, x, channel)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import fetch

# Channels this close together are read with those between them rather than one by one.
_ADJACENT = 4


def read_boxes(
    array: Any,
    axes: str,
    boxes: Sequence[dict[str, Any]],
    channels: tuple[int, ...],
    dtype: np.dtype[Any],
    where: str,
) -> list[NDArray[Any]]:
    """Read boxes of one array at once.

    Parameters
    ----------
    array : array-like
        One level of an image.
    axes : str
        One letter for each of its axes.
    boxes : sequence of dict
        Under y and x a slice, under the letter of any other axis an index, by default 0.
    channels : tuple of int
        Indices along c, in the order of the result.
    dtype : numpy.dtype
        Of the result; bool becomes uint8.
    where : str
        Path or name of the image, for error messages.

    Returns
    -------
    list of numpy.ndarray
        One (height, width, channels) for each box.

    Raises
    ------
    HQSAMError
        If the pixels cannot be read, or others come back than were asked for.
    """
    along_c = _along_c(channels, axes)
    indices = [
        tuple(c if a == "c" else box.get(a, 0) for a in axes) for box in boxes for c in along_c
    ]
    blocks = iter(fetch(array, indices, where))
    results = []
    for box in boxes:
        pixels = _assemble([next(blocks) for _ in along_c], axes, channels)
        expected = (*(box[a].stop - box[a].start for a in "yx"), len(channels))
        if pixels.shape != expected:
            raise HQSAMError(
                f"{where}: {pixels.shape} pixels came back for a box of {expected}; "
                "the array is damaged"
            )
        results.append(pixels.astype(np.uint8 if dtype.kind == "b" else dtype, copy=False))
    return results


def _along_c(channels: tuple[int, ...], axes: str) -> list[Any]:
    """What is read along c: a slice over all channels, or each index where they lie apart."""
    if "c" not in axes:
        return [0]
    low, high = min(channels), max(channels) + 1
    return [slice(low, high)] if high - low <= _ADJACENT else list(channels)


def _assemble(blocks: list[NDArray[Any]], axes: str, channels: tuple[int, ...]) -> NDArray[Any]:
    """Bring what was read for one box to (y, x, channel)."""
    together = blocks[0].ndim == 3
    kept = [a for a in axes if a in "yx" or (a == "c" and together)]
    order = [kept.index(a) for a in ("yxc" if together else "yx")]
    planes = [np.transpose(block, order) for block in blocks]
    if not together:
        return planes[0][:, :, None] if len(planes) == 1 else np.stack(planes, axis=-1)
    low = min(channels)
    chosen = [c - low for c in channels]
    pixels = planes[0]
    return pixels if chosen == list(range(pixels.shape[2])) else pixels[:, :, chosen]
