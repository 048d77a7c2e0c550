"""Which axis of an array is which: one lower-case letter for each."""

from __future__ import annotations

from collections.abc import Sequence

from napari_hqsam.errors import HQSAMError

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


def _example(shape: Sequence[int]) -> str:
    return guess_axes(shape) if 2 <= len(shape) <= 5 else "tczyx"
