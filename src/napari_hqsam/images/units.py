"""Units of length and time under the names that OME-Zarr, OME-XML and napari share."""

from __future__ import annotations

from collections.abc import Sequence

PIXEL = "pixel"
"""The unit of an axis whose physical step is not known."""

MICROMETERS = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25400.0,
}
"""Micrometres in one of each unit of length."""

_TIMES = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day")
_ALIASES = {
    "a": "angstrom",
    "å": "angstrom",
    "pm": "picometer",
    "nm": "nanometer",
    "um": "micrometer",
    "µm": "micrometer",  # micro sign
    "μm": "micrometer",  # Greek mu
    "micron": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "in": "inch",
    "ns": "nanosecond",
    "us": "microsecond",
    "µs": "microsecond",
    "μs": "microsecond",
    "ms": "millisecond",
    "msec": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
}


def unit_name(unit: object) -> str:
    r"""Return the full name of a unit of length or time.

    Parameters
    ----------
    unit : object
        A name or symbol such as ``"µm"``, ``"micron"``, ``"micrometres"`` or a pint unit, read
        by its text; also ImageJ's escaped ``"\u00B5m"``. None stands for an unknown unit.

    Returns
    -------
    str
        For example ``"micrometer"`` or ``"second"``; ``"pixel"`` for anything unknown.
    """
    if unit is None:
        return PIXEL
    text = str(unit).strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").lower()
    text = text.replace("metre", "meter")
    for candidate in (text, text.removesuffix("s")):
        name = _ALIASES.get(candidate, candidate)
        if name in MICROMETERS or name in _TIMES:
            return name
    return PIXEL


def micrometers(steps: Sequence[float], units: Sequence[str]) -> tuple[float, ...] | None:
    """Convert steps along spatial axes to µm, or return None if a unit is not a length.

    Parameters
    ----------
    steps : sequence of float
        Step between pixels along each axis.
    units : sequence of str
        Unit of each step, in any spelling that `unit_name` knows.
    """
    factors = [MICROMETERS.get(unit_name(unit)) for unit in units]
    if any(factor is None for factor in factors):
        return None
    return tuple(step * factor for step, factor in zip(steps, factors, strict=True) if factor)
