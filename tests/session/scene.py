"""Small labels, masks and sessions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.change import Patch
from napari_hqsam.labels.label_array import LabelArray, MemoryLabels, StoreLabels
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.header import Header
from napari_hqsam.session.history import History
from napari_hqsam.session.journal import Journal
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.session import Session

SHAPE = (2, 12, 15)
IMAGE = Fingerprint(SHAPE, "uint16", {0: "abc"})


def plane(z: int = 0) -> ArrayPlane:
    return ArrayPlane((1, 2), (z,))


def mask(box: Sequence[int], z: int = 0) -> PlaneMask:
    """A mask that is a whole box."""
    y0, x0, y1, x1 = box
    return PlaneMask.of(plane(z), (y0, x0, y1, x1), np.ones((y1 - y0, x1 - x0), bool))


def new(box: Sequence[int], z: int = 0, **values: Any) -> NewObject:
    return NewObject((mask(box, z),), **values)


def box_prompt(box: Sequence[int], z: int = 0) -> PromptItem:
    y0, x0, y1, x1 = (float(v) for v in box)
    return PromptItem("box", plane(z), ((y0, x0), (y1, x1)))


def memory(dtype: Any = "uint16") -> MemoryLabels:
    return MemoryLabels(np.zeros(SHAPE, dtype))


def on_disk(folder: Path) -> StoreLabels:
    return StoreLabels(
        LabelStore.create(folder / "labels.zarr", SHAPE, axes="zyx", dtype="uint16", chunk=8)
    )


def header(labels: LabelArray, **values: Any) -> Header:
    return Header.of(labels, IMAGE, "cells.tif", "zyx", **values)


def session(labels: LabelArray, path: Path) -> Session:
    return Session(labels, Journal.create(path, header(labels), labels))


def array(labels: LabelArray) -> NDArray[Any]:
    """All labels."""
    planes = [labels.read(plane(z), (0, 0, *SHAPE[1:])) for z in range(SHAPE[0])]
    return np.stack(planes)


def paint(labels: LabelArray, box: Sequence[int], value: int, z: int = 0) -> list[Any]:
    """Paint a box as a brush would; what `Session.painted` is told."""
    y0, x0, y1, x1 = box
    before = labels.read(plane(z), (y0, x0, y1, x1))
    after = np.full_like(before, value)
    labels.write(plane(z), y0, x0, after, np.ones(after.shape, bool))
    patch = Patch.between(before, after, (y0, x0))
    return [] if patch is None else [(plane(z), patch)]


def full(of: PlaneMask) -> NDArray[np.bool_]:
    """A mask on its whole plane."""
    out = np.zeros(SHAPE[1:], bool)
    y0, x0, y1, x1 = of.bbox
    out[y0:y1, x0:x1] = of.data
    return out


def contents(of: Session | History) -> Any:
    """Everything that a step can change, to be compared."""
    objects = {n: json.dumps(record.to_json()) for n, record in of.objects.items()}
    return array(of.labels).tolist(), objects, of.prompts, of.editing


class Refusing:
    """Labels on a disk that refuses one write: that after the next `left`."""

    def __init__(self, labels: LabelArray, after: int = 0) -> None:
        self.labels, self.left = labels, after
        self.shape, self.dtype = labels.shape, labels.dtype
        self.error: Exception = HQSAMError("labels.zarr: cannot be written (disk full); make room")

    def read(self, plane: ArrayPlane, box: Any) -> NDArray[Any]:
        return self.labels.read(plane, box)

    def write(self, *what: Any) -> None:
        self.left -= 1
        if self.left == -1:
            raise self.error
        self.labels.write(*what)
