"""Which axis of an array is which: one lower-case letter for each."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.units import PIXEL, unit_name

_SPARE_LETTERS = "qrpsuvwabdefghijklmno"


def guess_axes(shape: Sequence[int]) -> str:
    """Name the axes of an array that comes without names.

    A last axis of length 3 or 4 holds colours. What precedes it is read from the right as x, y,
    z, t; five axes without colours are OME's ``"tczyx"``.

    ========== ================== ===============
    dimensions last axis 3 or 4   otherwise
    ========== ================== ===============
    2          ``yx``             ``yx``
    3          ``yxc``            ``zyx``
    4          ``zyxc``           ``tzyx``
    5          ``tzyxc``          ``tczyx``
    ========== ================== ===============

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.

    Raises
    ------
    HQSAMError
        If there are fewer than two or more than five dimensions.
    """
    ndim = len(shape)
    if not 2 <= ndim <= 5:
        raise HQSAMError(
            f"image: an array of {ndim} dimension(s) has no axes to guess; "
            'name one letter per dimension, e.g. axes="tczyx"'
        )
    if ndim > 2 and shape[-1] in (3, 4):
        return "tzyxc"[-ndim:]
    return {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}[ndim]


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Return `axes` in lower case after checking them against the shape of an array.

    Raises
    ------
    HQSAMError
        If there is not exactly one letter per dimension, a letter occurs twice, or y or x lacks.
    """
    if not isinstance(axes, str):
        raise HQSAMError(f'axes: give one letter per dimension, such as "zyx", not {axes!r}')
    letters = axes.lower()
    remedy = f'name each of the {len(shape)} dimensions once, e.g. axes="{_example(shape)}"'
    if len(letters) != len(shape):
        dimensions = " x ".join(str(n) for n in shape)
        raise HQSAMError(
            f"axes {axes!r}: {len(letters)} letter(s) for an image of {dimensions}; {remedy}"
        )
    if not letters.isalpha() or len(set(letters)) != len(letters):
        raise HQSAMError(f"axes {axes!r}: each axis must be a different letter; {remedy}")
    if not {"y", "x"} <= set(letters):
        raise HQSAMError(f"axes {axes!r}: y and x are needed; {remedy}")
    return letters


def axes_from_names(names: Sequence[str]) -> str:
    """Shorten axis names to different letters, keeping y, x, z, t and c where they are meant.

    Parameters
    ----------
    names : sequence of str
        Names such as ``("time", "channel", "y", "x")`` in the order of the array.

    Returns
    -------
    str
        One lower-case letter per name. A name that has no letter of its own gets a spare one.
    """
    meant = {"time": "t", "channel": "c", "channels": "c"}
    letters = [meant.get(name.lower(), name.lower()) for name in names]
    taken = {letter for letter in letters if len(letter) == 1}
    spare = (letter for letter in _SPARE_LETTERS if letter not in taken)
    seen: set[str] = set()
    for i, letter in enumerate(letters):
        if len(letter) != 1 or not letter.isalpha() or letter in seen:
            letters[i] = next(spare)
        seen.add(letters[i])
    return "".join(letters)


def displayed_axes(axes: str, vertical: str, horizontal: str) -> str:
    """Rename axes so that two of them become y and x, in their places.

    The axes that were y and x get the letters that become free: with z down and x across, what
    was y is called z.

    Parameters
    ----------
    axes : str
        One letter per axis.
    vertical, horizontal : str
        The letters of the axes that run down and across; not c.

    Raises
    ------
    HQSAMError
        If these are not two different letters of `axes`.
    """
    there = [a for a in axes if a != "c"]
    if vertical == horizontal or not {vertical, horizontal} <= set(there):
        raise HQSAMError(
            f"axes {vertical!r} and {horizontal!r} cannot be displayed: choose two different of "
            f"{', '.join(there)}"
        )
    names = {vertical: "y", horizontal: "x"}
    freed = [a for a in (vertical, horizontal) if a not in "yx"]
    hidden = [a for a in "yx" if a not in names]
    names.update(zip(hidden, freed, strict=True))
    return "".join(names.get(a, a) for a in axes)


def check_plane(
    plane: Sequence[int], axes: str, shape: Sequence[int], name: str
) -> tuple[int, ...]:
    """Return `plane` as a tuple of ints, one index within `shape` for each of `axes`.

    Raises
    ------
    HQSAMError
        If it is anything else.
    """
    try:
        indices = tuple(operator.index(i) for i in plane)
    except TypeError:
        raise HQSAMError(
            f'plane {plane!r}: give a tuple of whole numbers, one for each of the axes "{axes}"'
        ) from None
    if len(indices) != len(axes):
        if not axes:
            raise HQSAMError(f"plane {indices}: {name} is a single plane; leave it out")
        raise HQSAMError(f'plane {indices}: {name} needs one index for each of the axes "{axes}"')
    for i, axis, length in zip(indices, axes, shape, strict=True):
        if not 0 <= i < length:
            raise HQSAMError(
                f"plane {indices}: {axis} = {i} is outside {name}, "
                f"choose {axis} from 0 to {length - 1}"
            )
    return indices


def scale_of_axes(scale: Sequence[float] | None, axes: str, kept: str) -> tuple[float, ...] | None:
    """Match steps to `axes`, or to these without c, and return those of `kept`."""
    remedy = ", each greater than 0"
    return _per_axis(scale, f"scale {scale!r}", axes, kept, _positive, 1.0, remedy)


def units_of_axes(
    units: str | Sequence[object] | None, axes: str, kept: str
) -> tuple[str, ...] | None:
    """Match units to `axes`, or to these without c; a single one is meant for z, y and x."""
    if isinstance(units, str):
        units = [units if a in "zyx" else PIXEL for a in axes]
    return _per_axis(units, f"units {units!r}", axes, kept, unit_name, PIXEL, "")


def _per_axis(
    values: Sequence[Any] | None,
    what: str,
    axes: str,
    kept: str,
    convert: Callable[[Any], Any],
    missing: Any,
    remedy: str,
) -> tuple[Any, ...] | None:
    if values is None:
        return None
    for letters in (axes, axes.replace("c", "")):
        if len(values) == len(letters):
            try:
                of = {a: convert(v) for a, v in zip(letters, values, strict=True)}
            except (TypeError, ValueError):
                break
            return tuple(of.get(a, missing) for a in kept)
    raise HQSAMError(f'{what}: give one value for each of the axes "{axes}"{remedy}')


def _positive(value: Any) -> float:
    step = float(value)
    if not (step > 0 and math.isfinite(step)):
        raise ValueError(value)
    return step


def _example(shape: Sequence[int]) -> str:
    return guess_axes(shape) if 2 <= len(shape) <= 5 else "tczyx"
