"""Which windows to encode, and what that will cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from napari_hqsam.embedding.layout import window_bytes
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.source import ImageSource
from napari_hqsam.images.windows import MAX_MAGNIFICATION, OVERLAP, Window, grid
from napari_hqsam.modeling import HQSam


def plan_windows(
    source: ImageSource,
    input_size: int,
    planes: Sequence[Sequence[int]] | None = None,
    region: Sequence[float] | None = None,
    octaves: Sequence[int] = (0,),
    overlap: float = OVERLAP,
    level: int = 0,
) -> list[Window]:
    """The windows that cover a part of an image, plane by plane.

    Parameters
    ----------
    source : ImageSource
    input_size : int
        S.
    planes : sequence of tuple of int, optional
        All planes by default.
    region : (y0, x0, y1, x1), optional
        Half-open, in pixels of `level`; the whole plane by default.
    octaves : sequence of int
        As for `grid`: several are encoded for objects of different sizes.
    overlap : float
        Of neighbours, as a share of a window's side.
    level : int

    Raises
    ------
    HQSAMError
        If a plane, the region or an octave is not possible.
    """
    height, width = shape = source.yx_shape(level)
    box = None
    if region is not None:
        y0, x0, y1, x1 = (float(v) for v in region)
        if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
            raise HQSAMError(
                f"region {y0:g},{x0:g},{y1:g},{x1:g}: it must lie within the plane of "
                f"{height} x {width} pixels, y0,x0 first"
            )
        box = (y0, x0, y1, x1)
    smallest = -round(math.log2(MAX_MAGNIFICATION))
    for octave in octaves:
        if octave < smallest:
            raise HQSAMError(f"octave {octave}: windows are magnified {MAX_MAGNIFICATION}× at most")
    wanted = _all_planes(source) if planes is None else [source.check_plane(p) for p in planes]
    windows = (
        window
        for plane in wanted
        for octave in octaves
        for window in grid(
            shape, input_size, octave, overlap=overlap, plane=plane, level=level, region=box
        )
    )
    return list(dict.fromkeys(windows))  # octaves beyond the plane are all the whole plane


def _all_planes(source: ImageSource) -> Iterator[tuple[int, ...]]:
    return product(*(range(n) for n in source.plane_shape))


@dataclass(frozen=True)
class Estimate:
    """What encoding will cost.

    Attributes
    ----------
    windows : int
        To be encoded.
    bytes : int
        On disk.
    seconds : float
    """

    windows: int
    bytes: int
    seconds: float


def estimate(model: HQSam, windows: int, seconds_per_window: float) -> Estimate:
    """The cost of a number of windows, of which one took `seconds_per_window`."""
    each = window_bytes(model.input_size, hq=model.has_hq)
    return Estimate(windows, windows * each, windows * seconds_per_window)
