"""A step in the making: what it would change, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.change import Patch
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box, common, slices
from napari_hqsam.session.action import Edit, ObjectChange
from napari_hqsam.session.record import ObjectRecord

# Side of the squares by which patches are found again, in pixels.
_SQUARE = 512
# More patches than this are put together in blocks of so many squares along y and x.
_MANY, _BLOCK = 64, 4

_Square = tuple[ArrayPlane, int, int]


class Draft:
    """Labels and objects as they will be; the real ones stay as they are.

    Parameters
    ----------
    labels : LabelArray
    objects : Mapping
        By number.
    next_id : int
        The number of the next new object.

    Attributes
    ----------
    edits : list of (ArrayPlane, Patch)
        What it changes in the labels, in this order.
    objects : dict
        What it changes of the objects: by number, the record before and after; None where there is
        no such object.
    next_id : int
    """

    def __init__(
        self, labels: LabelArray, objects: Mapping[int, ObjectRecord], next_id: int
    ) -> None:
        self._labels, self._objects = labels, objects
        self.edits: list[Edit] = []
        self.objects: dict[int, ObjectChange] = {}
        self.next_id = next_id
        self._squares: dict[_Square, list[int]] = {}  # which edits are there

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return self._labels.shape

    def get(self, number: int) -> ObjectRecord | None:
        """An object as it will be."""
        if number in self.objects:
            return self.objects[number][1]
        return self._objects.get(number)

    def find(self, number: int) -> ObjectRecord:
        """An object as it will be.

        Raises
        ------
        HQSAMError
            If there is none.
        """
        found = self.get(number)
        if found is None:
            raise HQSAMError(f"there is no object {number}: it was deleted, or merged with another")
        return found

    def put(self, record: ObjectRecord) -> None:
        """Add or replace an object."""
        self._set(record.id, record)

    def remove(self, number: int) -> None:
        """Take an object out; its pixels are left as they are."""
        self._set(number, None)

    def new_id(self) -> int:
        """A number for a new object.

        Raises
        ------
        HQSAMError
            If the labels cannot hold it.
        """
        number = self.next_id
        while self.get(number) is not None:
            number += 1
        check_id(number, self._labels.dtype)
        self.next_id = number + 1
        return number

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """The labels (h, w) of a box as they will be; a copy."""
        found = self._labels.read(plane, box)
        near = {i for square in _squares(plane, box) for i in self._squares.get(square, ())}
        for i in sorted(near):
            patch = self.edits[i][1]
            shared = common(patch.box, box)
            if shared is not None:
                here, labels = _painted(patch, found.dtype)
                inner = slices(shared, patch.box)
                np.copyto(found[slices(shared, box)], labels[inner], where=here[inner])
        return found

    def write(self, plane: ArrayPlane, box: Box, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Change the labels (h, w) of a box, which `read` gave, to others."""
        patch = Patch.between(before, after, box[:2])
        if patch is not None:
            for square in _squares(plane, patch.box):
                self._squares.setdefault(square, []).append(len(self.edits))
            self.edits.append((plane, patch))

    def finish(self, many: int = _MANY) -> tuple[Edit, ...]:
        """All edits; if there are more than `many`, few large ones, which are written faster."""
        if len(self.edits) <= many or not self._squares:
            return tuple(self.edits)
        edits = []
        side = _SQUARE * _BLOCK
        for plane, y, x in sorted(
            {(plane, y // _BLOCK, x // _BLOCK) for plane, y, x in self._squares},
            key=lambda block: (block[0].axes, block[0].index, block[1:]),
        ):
            height, width = plane.shape(self.shape)
            box = y * side, x * side, min((y + 1) * side, height), min((x + 1) * side, width)
            patch = Patch.between(self._labels.read(plane, box), self.read(plane, box), box[:2])
            edits += [(plane, patch)] if patch else []
        return tuple(edits)

    def _set(self, number: int, record: ObjectRecord | None) -> None:
        before = self.objects[number][0] if number in self.objects else self._objects.get(number)
        self.objects[number] = before, record


def check_id(number: int, dtype: np.dtype[Any]) -> None:
    """Raise HQSAMError if labels of `dtype` cannot hold the number of an object."""
    limit = int(np.iinfo(dtype).max)
    if number > limit:
        raise HQSAMError(
            f"label {number:,} does not fit labels of {dtype}, which hold up to {limit:,}: go on "
            "in a copy of uint32, or set a smaller next label that is free"
        )


def _squares(plane: ArrayPlane, box: Box) -> Iterator[_Square]:
    for y in range(box[0] // _SQUARE, -(-box[2] // _SQUARE)):
        for x in range(box[1] // _SQUARE, -(-box[3] // _SQUARE)):
            yield plane, y, x


def _painted(patch: Patch, dtype: np.dtype[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Where a patch changes the labels of its box, and to what."""
    y0, x0, y1, x1 = patch.box
    here = patch.changed.expand().reshape(y1 - y0, x1 - x0)
    labels = np.zeros(here.shape, dtype)
    labels[here] = patch.after.expand()
    return here, labels
