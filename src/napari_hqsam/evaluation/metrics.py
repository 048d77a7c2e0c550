"""Overlap of two masks, and of their boundaries.

Boundary IoU is that of Cheng et al. (CVPR 2021), as HQ-SAM uses it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]


def mask_iou(a: BoolArray, b: BoolArray) -> float:
    """Intersection over union of two masks of one shape; 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return 1.0 if union == 0 else np.count_nonzero(a & b) / union


def boundary_width(shape: tuple[int, ...], ratio: float = 0.02) -> int:
    """Width of the boundary region in pixels: a share of the image's diagonal, at least 1."""
    return max(1, round(ratio * float(np.linalg.norm(shape))))


def boundary_region(mask: BoolArray, width: int) -> BoolArray:
    """Pixels of the mask within `width` pixels of its outside.

    Parameters
    ----------
    mask : ndarray of bool
        (H, W). Beyond the image's edge is outside.
    width : int
        Erosions with a 3 × 3 square, in pixels.
    """
    from scipy.ndimage import binary_erosion

    square = np.ones((3, 3), dtype=bool)
    inner = binary_erosion(np.pad(mask, 1), square, iterations=width)[1:-1, 1:-1]
    return mask & ~inner


def boundary_iou(a: BoolArray, b: BoolArray, width: int) -> float:
    """IoU of the boundary regions of two masks; 1 if both are empty.

    Parameters
    ----------
    a, b : ndarray of bool
        (H, W).
    width : int
        Of the boundary region, in pixels; see `boundary_width` for the paper's.
    """
    return mask_iou(boundary_region(a, width), boundary_region(b, width))
