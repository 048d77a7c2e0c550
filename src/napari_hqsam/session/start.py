"""What labels hold when a session begins, so that it can be replayed exactly."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box, tiles
from napari_hqsam.storage import write_mark

# Side of what is looked at together, in pixels.
_SIDE = 4096


def store_path(labels: LabelArray) -> Path | None:
    """The folder of labels that are kept on disk; None for those in memory."""
    store = getattr(labels, "store", None)
    return None if store is None else Path(store.path).absolute()


def highest(labels: LabelArray) -> int:
    """The largest label; of a store what it has noted, else all labels are looked through."""
    store = getattr(labels, "store", None)
    if store is not None:
        return int(store.highest)
    return max(int(labels.read(plane, box).max()) for plane, box in _parts(labels.shape))


def copy_all(labels: LabelArray) -> NDArray[Any]:
    """All labels, as an array of their own."""
    out = np.empty(labels.shape, labels.dtype)
    for plane, box in _parts(labels.shape):
        out[plane.region(*box)] = labels.read(plane, box)
    return out


def fill(labels: LabelArray, source: LabelArray) -> None:
    """Make all labels those of others of the same shape.

    Raises
    ------
    HQSAMError
        If they cannot be read or written.
    """
    for plane, box in _parts(labels.shape):
        before, after = labels.read(plane, box), source.read(plane, box)
        where = before != after
        if where.any():
            labels.write(plane, box[0], box[1], after.astype(before.dtype), where)


def write_snapshot(path: Path, labels: NDArray[Any]) -> None:
    """Keep labels compressed, with a checksum.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    file = io.BytesIO()
    np.savez_compressed(file, labels=labels)
    write_mark(path, file.getvalue())


def read_snapshot(path: Path) -> NDArray[Any]:
    """What `write_snapshot` kept.

    Raises
    ------
    HQSAMError
        If it is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            found: NDArray[Any] = kept["labels"]
            return found
    except FileNotFoundError:
        reason = "is missing"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = f"is damaged ({next(iter(str(error).splitlines()), type(error).__name__)})"
    raise HQSAMError(
        f"{path}: what the labels held when the session began {reason}; restore the file from a "
        "backup"
    )


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[ArrayPlane, Box]]:
    """Boxes of the planes of the last two axes, which together are all labels."""
    axes = len(shape) - 2, len(shape) - 1
    for index in np.ndindex(*shape[:-2]):
        plane = ArrayPlane(axes, tuple(map(int, index)))
        for box in tiles((0, 0, int(shape[-2]), int(shape[-1])), (_SIDE, _SIDE)):
            yield plane, box
