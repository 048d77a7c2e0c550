"""All that linking has to know of the objects of all windows, but for their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.rows import Ints
from napari_hqsam.segmentation.stitch.instances import Ids, Instances
from napari_hqsam.segmentation.stitch.layout import Layout, Tile, overlaps
from napari_hqsam.segmentation.stitch.overlap import Overlap, cut, overlap


@dataclass(frozen=True, eq=False)
class Survey:
    """The objects of all windows, window by window.

    Attributes
    ----------
    starts : ndarray of int64
        (windows + 1,) the first object of each window.
    tile : ndarray of int64
        (n,) the window of each object; the arrays that follow are as long.
    ids, scores, areas, boxes
        As those of `Instances`.
    x : ndarray of int64
        Column of the first pixel; its row is the box's first.
    cut : ndarray of bool
        Whether it may go on in another window.
    pairs : Overlap
        Objects of two windows that share pixels, as numbers of this survey.
    """

    starts: Ints
    tile: Ints
    ids: Ids
    scores: NDArray[np.float32]
    areas: Ints
    boxes: Ints
    x: Ints
    cut: NDArray[np.bool_]
    pairs: Overlap

    @classmethod
    def of(cls, tiles: Sequence[Tile], layout: Layout, read: Callable[[int], Instances]) -> Survey:
        """Go through windows that are sorted by plane, row and column."""
        columns: list[tuple[NDArray, ...]] = []
        pairs: list[Overlap] = []
        starts, free = [0], np.zeros(len(tiles), bool)
        for i, (plane, box) in enumerate(tiles):
            found = read(i)
            free[i] = not found.ids.all()
            near = layout.near(plane, box)
            near = near[near != i]
            is_cut = cut(found, layout.boxes[near])
            first = found.x0[found.starts[:-1]]
            columns.append((found.ids, found.scores, found.areas, found.boxes, first, is_cut))
            for k in near[overlaps(layout.boxes[near], box)]:
                # labels that are wanted are not compared with each other
                if k < i and (free[i] or free[k]) and len(found) and starts[k + 1] > starts[k]:
                    each = overlap(read(int(k)), found)
                    first, second = each.first + starts[k], each.second + starts[i]
                    pairs.append(each._replace(first=first, second=second))
            starts.append(starts[-1] + len(found))
        nothing = Instances.of((), (0, 0, 0, 0), [], [])
        none = np.empty(0, np.int64)
        columns.append((nothing.ids, nothing.scores, none, nothing.boxes, none, none.astype(bool)))
        pairs.append(Overlap(none, none, none, none.astype(bool)))
        ids, scores, areas, boxes, x, is_cut = (
            np.concatenate(column) for column in zip(*columns, strict=True)
        )
        joined = Overlap(*(np.concatenate(part) for part in zip(*pairs, strict=True)))
        tile = np.repeat(np.arange(len(tiles)), np.diff(starts))
        return cls(np.array(starts), tile, ids, scores, areas, boxes, x, is_cut, joined)
