"""What the image's arrays, of whatever library, must be and how boxes are fetched from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError


def as_levels(image: Any) -> list[Any]:
    """Return the pyramid levels that `image` is: a sequence of arrays as it is, an array alone.

    Raises
    ------
    HQSAMError
        If `image` is neither.
    """
    if hasattr(image, "attrs") and not hasattr(image, "shape"):
        raise HQSAMError(
            "image: this is a zarr group; pass the path of its folder, or one of its arrays"
        )
    if isinstance(image, Sequence) and len(image) and all(hasattr(a, "shape") for a in image):
        return list(image)
    if hasattr(image, "shape") and hasattr(image, "dtype") and hasattr(image, "__getitem__"):
        return [image]
    try:
        return [np.asarray(image)]
    except (TypeError, ValueError):
        raise HQSAMError(
            f"image: cannot use a {type(image).__name__}; "
            "pass a numpy, dask or zarr array, a list of pyramid levels, or a path"
        ) from None


def numeric_dtype(array: Any, name: str) -> np.dtype[Any]:
    """Return the dtype of an array in native byte order, or refuse what are not real numbers."""
    try:
        dtype: np.dtype[Any] = np.dtype(array.dtype).newbyteorder("=")
    except TypeError:
        raise HQSAMError(
            f"{name}: pixels of type {array.dtype} cannot be used; convert them to a NumPy dtype"
        ) from None
    if dtype.kind == "c":
        raise HQSAMError(
            f"{name}: the pixels are complex numbers; pass numpy.abs(image) or its real part"
        )
    if dtype.kind not in "buif":
        raise HQSAMError(
            f"{name}: pixels of type {dtype} are not numbers; pass integers, floats or booleans"
        )
    return dtype


def check_levels(levels: Sequence[Any], axes: str, name: str) -> None:
    """Check that each level is a smaller copy of the one before, with the same channels."""
    for i, (finer, coarser) in enumerate(pairwise(levels), start=1):
        lengths = list(zip(axes, finer.shape, coarser.shape, strict=False))
        shrinks = (
            len(coarser.shape) == len(finer.shape)
            and all(0 < n <= m and (a != "c" or n == m) for a, m, n in lengths)
            and any(n < m for a, m, n in lengths if a in "yx")
        )
        if not shrinks or numeric_dtype(coarser, name) != numeric_dtype(finer, name):
            raise HQSAMError(
                f"{name}: level {i} ({tuple(coarser.shape)}, {coarser.dtype}) is no smaller copy "
                f"of level {i - 1} ({tuple(finer.shape)}, {finer.dtype}); a list means pyramid "
                "levels, finest first (numpy.stack makes a stack of planes)"
            )


def shrink_factor(fine: int, coarse: int) -> float:
    """Return fine / coarse, as the whole number that it was before rounding if there is one."""
    ratio = fine / coarse
    whole = round(ratio)
    return float(whole) if fine // whole <= coarse <= -(-fine // whole) else ratio


def fetch(array: Any, indices: Sequence[tuple[Any, ...]], name: str) -> list[NDArray[Any]]:
    """Read parts of an array; of a dask array, chunks that they share are computed once.

    Raises
    ------
    HQSAMError
        If the array's library fails: a damaged chunk, a file that has gone.
    """
    try:
        parts = [array[index] for index in indices]
        if hasattr(array, "__dask_graph__"):
            from dask.base import compute

            parts = list(compute(*parts))  # type: ignore[no-untyped-call]
        return [np.asarray(part) for part in parts]
    except (HQSAMError, MemoryError):
        raise
    except Exception as error:  # each library, and each codec, has errors of its own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise HQSAMError(
            f"{name}: the pixels cannot be read ({reason[:200]}); "
            "the file may be damaged or was moved, or its server is gone"
        ) from error
