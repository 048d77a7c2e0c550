"""COCO's run-length encoding of masks, made and read without unpacking a plane.

The pixels of a plane are counted column by column, in runs that are in turn outside and inside
the object; the first is outside and may be empty. As text each count, from the fourth on less the
one two before it, is written in groups of five bits, the lowest first, each with a sixth bit that
says whether another follows, plus 48 as an ASCII letter (`maskApi.c` of cocodataset/cocoapi).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_hqsam.labels.rows import Ints, Rows

MAX_PIXELS = 2**31 - 1
"""The largest plane whose counts the readers of the format can hold."""


def encode(rows: Rows, shape: tuple[int, int]) -> dict[str, Any]:
    """The compressed run-length encoding of a mask on a plane of `shape` (height, width).

    Returns
    -------
    dict
        ``"size"``, [height, width], and ``"counts"``, a str.
    """
    from pycocotools.mask import frPyObjects

    height, width = shape
    columns = rows.transposed()
    start, end = columns.y * height + columns.x0, columns.y * height + columns.x1
    joins = start[1:] == end[:-1]  # goes on at the top of the next column
    start = start[np.concatenate(([True], ~joins))] if len(start) else start
    end = end[np.concatenate((~joins, [True]))] if len(end) else end
    edges = np.concatenate(([0], np.stack([start, end], axis=1).ravel(), [height * width]))
    counts = np.diff(edges)
    if counts[-1] == 0:
        counts = counts[:-1]
    packed = frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def decode(counts: str | bytes | Sequence[int], shape: tuple[int, int]) -> Rows:
    """The mask of a run-length encoding, compressed or not.

    Raises
    ------
    ValueError, TypeError
        If it is none of a plane of `shape` (height, width).
    """
    height, width = shape
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    lengths = _numbers(counts) if isinstance(counts, str) else np.asarray(list(counts))
    if lengths.ndim != 1 or (lengths.size and lengths.dtype.kind not in "iu"):
        raise TypeError("its counts are no whole numbers")
    lengths = lengths.astype(np.int64)
    if (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError(f"its runs are of {int(lengths.sum()):,} pixels, not {height * width:,}")
    ends = np.cumsum(lengths)
    end = ends[1::2]
    start = end - lengths[1::2]
    start, end = start[end > start], end[end > start]
    # by columns: the runs of a mask with y and x exchanged
    first, last = start // height, (end - 1) // height
    count = last - first + 1
    which = np.repeat(np.arange(len(start)), count)
    x = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    top = np.maximum(start[which] - x * height, 0)
    bottom = np.minimum(end[which] - x * height, height)
    return Rows.of(x, top, bottom).transposed()


def _numbers(text: str) -> Ints:
    """The counts that a text stands for."""
    numbers: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its counts are no run-length encoding")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift  # negative
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its counts are cut off")
    return np.array(numbers, np.int64)
