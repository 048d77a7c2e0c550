"""Whose the pixels of each slice are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import common
from napari_hqsam.segmentation.volume.slice_mask import SliceMask


class Claims:
    """The masks found so far, packed; a later one does not take what an earlier one has.

    Parameters
    ----------
    masks : iterable of SliceMask
        The first ones.
    """

    def __init__(self, masks: Iterable[SliceMask]) -> None:
        self._packed: dict[int, list[tuple[SliceMask, Mapping[str, NDArray[Any]]]]]
        self._packed = defaultdict(list)
        for mask in masks:
            self._add(mask)

    def claim(self, masks: Iterable[SliceMask]) -> list[SliceMask]:
        """What is left of masks; those of which nothing is are left out."""
        left = []
        for mask in masks:
            others = [
                SliceMask.unpacked(arrays)
                for about, arrays in self._packed[mask.position]
                if about.label != mask.label and common(about.bbox, mask.bbox) is not None
            ]
            new = mask.without(others)
            if new.data.size:
                self._add(new)
                left.append(new)
        return left

    def ends(self) -> dict[int, tuple[int, int]]:
        """First and last position of each label."""
        at: dict[int, list[int]] = defaultdict(list)
        for position, masks in self._packed.items():
            for about, _ in masks:
                at[about.label].append(position)
        return {label: (min(found), max(found)) for label, found in at.items()}

    def _add(self, mask: SliceMask) -> None:
        about = SliceMask(mask.label, mask.position, mask.data[:0], mask.bbox)
        self._packed[mask.position].append((about, mask.packed()))
