"""The axes, steps and units of a label image, checked once for every format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.units import PIXEL, unit_name

AXES = ("yx", "zyx", "tyx", "tzyx")
"""What other programs expect of a label image."""


@dataclass(frozen=True)
class Calibration:
    """What the pixels of a label image are in the world.

    Attributes
    ----------
    axes : str
        One letter per dimension.
    scale : tuple of float or None
        Step along each of `axes`, in `units`; None if nothing is known.
    units : tuple of str
        Full name of the unit of each of `axes`, or ``"pixel"``.
    """

    axes: str
    scale: tuple[float, ...] | None
    units: tuple[str, ...]


def check_calibration(
    target: Path,
    ndim: int,
    axes: str,
    scale: Sequence[float] | None,
    units: str | Sequence[object] | None,
) -> Calibration:
    """Bring together what a caller says about the axes of labels of `ndim` dimensions.

    Raises
    ------
    HQSAMError
        If something does not fit; the message begins with `target`.
    """
    if axes not in AXES or len(axes) != ndim:
        raise HQSAMError(
            f'{target}: axes "{axes}" do not fit labels of {ndim} dimension(s); '
            'give "yx", "zyx", "tyx" or "tzyx"'
        )
    if scale is not None and len(scale) != len(axes):
        raise HQSAMError(f'{target}: scale {tuple(scale)!r} needs one value per axis of "{axes}"')
    steps = None if scale is None else tuple(float(step) for step in scale)
    if steps and not all(step > 0 and math.isfinite(step) for step in steps):
        raise HQSAMError(f"{target}: scale {steps!r} has a step that is not greater than 0")
    if units is None or isinstance(units, str):
        units = [unit_name(units) if a in "zyx" else PIXEL for a in axes]
    if len(units) != len(axes):
        raise HQSAMError(f'{target}: units {tuple(units)!r} need one value per axis of "{axes}"')
    return Calibration(axes, steps, tuple(unit_name(unit) for unit in units))
