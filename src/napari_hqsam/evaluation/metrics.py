"""Overlap of two masks, and of their boundaries.

Boundary IoU is that of Cheng et al. (CVPR 2021), as HQ-SAM uses it. The band that counts as
boundary is a `Band`: a share of the image's diagonal as in the papers, or, as fits small cells
in large images, pixels or micrometres.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError

BoolArray = NDArray[np.bool_]

RECALL_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Band:
    """How wide the boundary of a mask is.

    Parameters
    ----------
    value : float
        More than 0.
    unit : {"ratio", "px", "um"}
        Of the image's diagonal (0.02 in the papers, 0.01 for "strict"), pixels, or micrometres.

    Raises
    ------
    HQSAMError
        If the value is not a positive number or the unit is none of the three.
    """

    value: float
    unit: Literal["ratio", "px", "um"]

    def __post_init__(self) -> None:
        if self.unit not in ("ratio", "px", "um"):
            raise HQSAMError(f"Boundary band unit {self.unit!r}: give 'ratio', 'px' or 'um'.")
        if not (math.isfinite(self.value) and self.value > 0):
            raise HQSAMError(f"Boundary band {self.name}: give a width above 0, such as '2px'.")

    @classmethod
    def parse(cls, text: str) -> Band:
        """Read "2px", "2%" or "0.5um"; "0.5 µm" and every `name` will do too."""
        found = re.fullmatch(r"\s*([0-9.]+(?:e-?[0-9]+)?)\s*(px|%|um|µm|μm)\s*", text)  # both mus
        try:
            value = float(found[1]) if found else math.nan
        except ValueError:
            value = math.nan
        if not found or not (math.isfinite(value) and value > 0):
            raise HQSAMError(f"Boundary band {text!r}: write it as '2px', '2%' or '0.5um'.")
        if found[2] == "%":
            return cls(value / 100, "ratio")
        return cls(value, "px" if found[2] == "px" else "um")

    @property
    def name(self) -> str:
        """For a table's head: "2 px", "2 %", "0.5 µm"."""
        if self.unit == "ratio":
            return f"{100 * self.value:g} %"
        return f"{self.value:g} {'px' if self.unit == 'px' else 'µm'}"

    def width(self, shape: Sequence[int], pixel_size: float | None = None) -> int:
        """The band in whole pixels, at least 1.

        Parameters
        ----------
        shape : sequence of int
            (H, W) of the whole image, also where only a part of it is compared.
        pixel_size : float, optional
            Micrometres per pixel, needed by a band in micrometres only.

        Raises
        ------
        HQSAMError
            If the band is in micrometres and no pixel size is given.
        """
        if self.unit == "ratio":
            return boundary_width(shape, self.value)
        if self.unit == "px":
            return max(1, round(self.value))
        if pixel_size is None or not (math.isfinite(pixel_size) and pixel_size > 0):
            raise HQSAMError(
                f"Boundary band {self.name}: give the pixel size in µm, or a band such as '2px'."
            )
        return max(1, round(self.value / pixel_size))


def mask_iou(truth: BoolArray, predicted: BoolArray) -> float:
    """Intersection over union of two masks of one shape; 1 if both are empty."""
    check_shapes(truth, predicted)
    union = np.count_nonzero(truth | predicted)
    return 1.0 if union == 0 else float(np.count_nonzero(truth & predicted) / union)


def boundary_width(shape: Sequence[int], ratio: float = 0.02) -> int:
    """Width of the boundary region in pixels: a share of the image's diagonal, at least 1.

    Halves are rounded to the even number, as in the reference implementation.
    """
    height, width = shape
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def boundary_region(mask: BoolArray, width: int) -> BoolArray:
    """Pixels of the mask within `width` pixels of its outside.

    Parameters
    ----------
    mask : ndarray of bool
        (H, W), the whole image or any part of it that holds the whole mask: what lies beyond the
        array is outside, be it the rest of the image or nothing.
    width : int
        In pixels of a step that may be diagonal: `width` erosions with a 3 × 3 square.
    """
    from scipy.ndimage import minimum_filter

    where = extent(mask)
    region = np.zeros_like(mask)
    if where is None:
        return region
    box = mask[where]
    region[where] = box
    if min(box.shape) > 2 * width:  # else nothing lies deeper
        inner = minimum_filter(box, size=2 * width + 1, mode="constant", cval=0)
        region[where] &= ~inner
    return region


def boundary_iou(truth: BoolArray, predicted: BoolArray, width: int) -> float:
    """IoU of the boundary regions of two masks; 1 if both are empty.

    The image's edge bounds an object that it cuts. The figure is the same for the whole image and
    for any part of it that holds both masks whole, be it tight; a part that cuts through a mask
    would make a boundary of the cut.

    Parameters
    ----------
    truth, predicted : ndarray of bool
        (H, W).
    width : int
        Of the boundary region, in pixels; see `Band.width`.
    """
    check_shapes(truth, predicted)
    where = extent(truth | predicted)
    if where is None:
        return 1.0
    return mask_iou(boundary_region(truth[where], width), boundary_region(predicted[where], width))


def biou_recall(
    values: Iterable[float], thresholds: Sequence[float] = RECALL_THRESHOLDS
) -> NDArray[np.float64]:
    """Share of masks whose boundary IoU is above each threshold.

    Parameters
    ----------
    values : iterable of float
        Boundary IoU of each mask.
    thresholds : sequence of float

    Returns
    -------
    ndarray of float64
        One share, 0 to 1, for each threshold; NaN if there are no values.
    """
    found = np.fromiter(values, dtype=np.float64)
    if not found.size:
        return np.full(len(thresholds), np.nan)
    return (found[:, None] > np.asarray(thresholds, dtype=np.float64)).mean(axis=0)


def extent(mask: BoolArray) -> tuple[slice, slice] | None:
    """The smallest box that holds every pixel of a mask (H, W); None if the mask is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    y = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero(mask[y].any(axis=0))
    return y, slice(int(columns[0]), int(columns[-1]) + 1)


def check_shapes(truth: BoolArray, predicted: BoolArray) -> None:
    """Masks to compare lie on one grid: (H, W) alike and bool, else `HQSAMError`."""
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise HQSAMError(
            f"Masks of shape {truth.shape} and {predicted.shape}: give both as (H, W) of one image."
        )
    if truth.dtype != bool or predicted.dtype != bool:
        raise HQSAMError(
            f"Masks of type {truth.dtype} and {predicted.dtype}: give bool, such as labels == 3."
        )
