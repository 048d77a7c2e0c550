"""Channels: which of them are read, and several arrays put together as channels of one."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.lazy import LazyArray, Span


class StackedArray(LazyArray):
    """Arrays of one shape as the channels of one array, along a new first axis.

    Parameters
    ----------
    arrays : sequence of array-like
        Of equal shapes; their common dtype is that of the stack.
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._arrays = tuple(arrays)
        self.shape = (len(self._arrays), *(int(n) for n in self._arrays[0].shape))
        self.dtype = np.result_type(*(np.dtype(array.dtype) for array in self._arrays))

    def read(self, span: Span) -> NDArray[Any]:
        """Read a box of the channels that are asked for."""
        wanted = self._arrays[span[0]]
        return np.stack([np.asarray(array[span[1:]]) for array in wanted]).astype(self.dtype)


def choose_channels(
    channels: int | Sequence[int] | None, n_channels: int, name: str
) -> tuple[int, ...]:
    """Check the channels that are asked for: one to three of `n_channels`, by default the first."""
    if channels is None:
        return tuple(range(min(n_channels, 3)))
    try:
        wanted = [channels] if isinstance(channels, (int, np.integer)) else list(channels)
        chosen = tuple(operator.index(c) for c in wanted)
    except TypeError:
        raise HQSAMError(f"channels {channels!r}: give one to three channel numbers") from None
    if not 1 <= len(chosen) <= 3:
        raise HQSAMError(f"channels {channels!r}: give one, two or three channel numbers")
    if not all(0 <= c < n_channels for c in chosen):
        raise HQSAMError(
            f"channels {channels!r}: {name} has {n_channels} channel(s), counted from 0"
        )
    return chosen
