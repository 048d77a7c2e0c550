"""What may be done to a mask once it is predicted: keep to the box, fill holes, drop specks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.segmentation.mask import Mask, trimmed
from napari_hqsam.segmentation.prompts import Prompts

# Pixels that touch at a corner are one part: a filament of one pixel's width runs diagonally, too.
_TOUCHING = np.ones((3, 3), dtype=bool)


def polish(
    mask: Mask, *, fill_holes: bool = False, min_size: int = 0, keep_to_box: bool = False
) -> Mask:
    """The same prediction with a tidier mask.

    Parameters
    ----------
    mask : Mask
        Not changed.
    fill_holes : bool
        Take in what the mask surrounds.
    min_size : int
        Remove parts of fewer pixels, be it the whole object. Pixels that touch at a corner belong
        to one part.
    keep_to_box : bool
        Remove what lies outside the box of the prompts, or of their outline or mask. Nothing is
        removed if they are points and strokes alone.

    Returns
    -------
    Mask
        With the logits of `mask`, so that it can be corrected; `mask` itself if nothing changes.

    Raises
    ------
    HQSAMError
        If `min_size` is negative.
    """
    if min_size < 0:
        raise HQSAMError(f"min. size {min_size}: give a number of pixels, 0 for any size")
    from scipy.ndimage import binary_fill_holes, label

    data = mask.data
    box = _pixels(mask.prompts) if keep_to_box and mask.prompts is not None else None
    if box is not None:
        y0, x0, y1, x1 = np.maximum(np.subtract(box, np.tile(mask.bbox[:2], 2)), 0)
        inside = np.zeros_like(data)
        inside[y0:y1, x0:x1] = data[y0:y1, x0:x1]
        data = inside
    if fill_holes:
        data = binary_fill_holes(data)
    if min_size > 1:
        parts, _ = label(data, _TOUCHING)
        large = np.bincount(parts.ravel()) >= min_size
        large[:1] = False
        data = large[parts]
    if np.array_equal(data, mask.data):
        return mask
    data, bbox = trimmed(data, (mask.bbox[0], mask.bbox[1]))
    return replace(mask, data=data, bbox=bbox)


def _pixels(prompts: Prompts) -> tuple[int, int, int, int] | None:
    """(y0, x0, y1, x1) of the pixels in the box that prompts show, half-open."""
    ends = prompts.span()
    if ends is None:
        return None
    # a box names the middles of its outermost pixels
    (y0, x0), (y1, x1) = np.ceil(ends[0] - 0.5), np.floor(ends[1] + 0.5) + 1
    return int(y0), int(x0), int(y1), int(x1)
