"""Masks that are averaged along the course, as they come."""

from __future__ import annotations

import math

from napari_hqsam.segmentation.volume.blend import blended
from napari_hqsam.segmentation.volume.slice_mask import SliceMask


class Smoother:
    """Averages each mask with its neighbours, by their distances from the boundary.

    Parameters
    ----------
    sigma : float
        In slices; 0 gives the masks as they are.
    """

    def __init__(self, sigma: float) -> None:
        self._sigma, self._reach = sigma, math.ceil(2 * sigma)
        self._line: dict[int, list[SliceMask]] = {}
        self._given: dict[int, int] = {}  # how many of the line are done with

    def push(self, mask: SliceMask) -> list[SliceMask]:
        """Take the next mask of an object; those that can be told now. Seeds are never told."""
        if not self._reach:
            return [] if mask.score is None else [mask]
        line = self._line.setdefault(mask.label, [])
        before = self.flush(mask.label) if line and self._apart(line[-1], mask) else []
        line = self._line.setdefault(mask.label, [])
        line.append(mask)
        told = self._tell(mask.label, len(line) - self._reach)
        done = self._given[mask.label] - self._reach
        if done > 0:  # nothing looks back so far any more
            del line[:done]
            self._given[mask.label] -= done
        return before + told

    def flush(self, label: int | None = None) -> list[SliceMask]:
        """What is left of an object, or of all: no further mask comes."""
        labels = list(self._line) if label is None else [label]
        told = []
        for each in labels:
            told += self._tell(each, len(self._line.get(each, ())))
            self._line.pop(each, None)
            self._given.pop(each, None)
        return told

    def _tell(self, label: int, stop: int) -> list[SliceMask]:
        line, told = self._line.get(label, []), []
        for i in range(self._given.get(label, 0), stop):
            if line[i].score is None:
                continue
            near = line[max(i - self._reach, 0) : i + self._reach + 1]
            weighted = [(mask, self._weight(mask, line[i])) for mask in near]
            mask = blended(weighted, line[i].position, line[i].score)
            told += [] if mask is None else [mask]
        self._given[label] = max(self._given.get(label, 0), stop)
        return told

    def _weight(self, mask: SliceMask, middle: SliceMask) -> float:
        return math.exp(-(((mask.position - middle.position) / self._sigma) ** 2) / 2)

    @staticmethod
    def _apart(last: SliceMask, mask: SliceMask) -> bool:
        return abs(last.position - mask.position) != 1
