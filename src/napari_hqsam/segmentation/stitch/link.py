"""Which objects of several windows are one, which windows show it, and which label it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.rows import Ints
from napari_hqsam.segmentation.stitch.instances import Ids, Instances
from napari_hqsam.segmentation.stitch.layout import Layout, Tile
from napari_hqsam.segmentation.stitch.recent import Recent
from napari_hqsam.segmentation.stitch.select import joined, select
from napari_hqsam.segmentation.stitch.slices import between
from napari_hqsam.segmentation.stitch.survey import Survey

_LARGEST = 2**64 - 1


@dataclass(frozen=True, eq=False)
class Links:
    """The label of each object of each window.

    Attributes
    ----------
    ids : list of ndarray of uint64
        One array (n,) for each window; 0 where another window shows the object, or a better one
        lies there.
    count : int
        Number of objects.
    highest : int
        The largest label.
    """

    ids: list[Ids]
    count: int
    highest: int


def link(
    tiles: Sequence[Tile],
    read: Callable[[int], Instances],
    *,
    between_slices: float | None = None,
    inside: Callable[[NDArray[np.float64]], NDArray[np.bool_]] | None = None,
) -> Links:
    """Make one object of what several windows show of it.

    Windows that overlap are compared in the region that both show (`overlap`). An object that
    some window shows without cutting it is taken from that window as a whole; one that all of
    them cut is the union of its pieces (`select`). Labels count from 1 in the order of the first
    pixels, so that the order of the windows changes nothing.

    Parameters
    ----------
    tiles : sequence of (plane, box)
        The windows: the pixels that each shows, no two the same. They must overlap where an
        object may be cut.
    read : callable
        The instances of a window, by its number; called for one after the other, for a few of
        them several times. Labels that instances want to have are kept, in all windows.
    between_slices : float, optional
        Least IoU, above 0, of an object with its best match in the next plane, counted along the
        last plane axis, for both to be one. No two objects of a plane become one.
    inside : callable, optional
        For centres (n, 2), (y, x): whether objects there are kept.

    Returns
    -------
    Links

    Raises
    ------
    HQSAMError
        If there are no numbers left above the wanted labels.
    """
    order = sorted(range(len(tiles)), key=lambda i: (tuple(tiles[i][0]), tuple(tiles[i][1])))
    placed = [tiles[i] for i in order]
    layout = Layout(placed)
    recent = Recent(lambda i: read(order[i]))
    survey = Survey.of(placed, layout, recent)
    of, candidates = select(survey, layout)

    kept = candidates.kept
    if inside is not None:
        kept = kept & inside((candidates.boxes[:, :2] + candidates.boxes[:, 2:] - 1) / 2)
    rank = _by_position(survey, of, kept & (candidates.wanted == 0), layout)
    if between_slices is not None:
        shown = np.split(rank[of].astype(np.uint64), survey.starts[1:-1])
        rank = _chained(rank, *between(layout, recent, shown, between_slices))
    highest = int(candidates.wanted.max(where=kept, initial=0))
    numbered = int(rank.max(initial=0))
    if highest + numbered > _LARGEST:
        raise HQSAMError(
            f"labels: there is no number above {highest:,} left for {numbered:,} more objects; "
            "renumber the labels that were given"
        )
    number = np.where(rank > 0, rank.astype(np.uint64) + np.uint64(highest), candidates.wanted)
    number[~kept] = 0
    parts = np.split(number[of], survey.starts[1:-1])
    ids: list[Ids] = [np.empty(0, np.uint64)] * len(tiles)
    for i, part in zip(order, parts, strict=False):
        ids[i] = part
    wanted = int(np.count_nonzero(kept & (candidates.wanted > 0)))
    return Links(ids, numbered + wanted, highest + numbered)


def _by_position(survey: Survey, of: Ints, chosen: NDArray[np.bool_], layout: Layout) -> Ints:
    """1, 2, … for the chosen candidates in the order of their first pixels; 0 for the others."""
    plane = np.empty(len(layout.boxes), np.int64)
    for k, members in enumerate(layout.of_plane):
        plane[members] = k
    position = (of, survey.x, survey.boxes[:, 0], plane[survey.tile])
    order = np.lexsort(position)
    order = order[chosen[of[order]]]
    _, first = np.unique(of[order], return_index=True)
    rank = np.zeros(len(chosen), np.int64)
    rank[of[order[np.sort(first)]]] = np.arange(1, len(first) + 1)
    return rank


def _chained(rank: Ints, above: Ints, below: Ints) -> Ints:
    """The ranks again, where those that are one object in several planes share the first."""
    count = int(rank.max(initial=0))
    _, chain = joined(count + 1, above, below)
    # chains in the order of their first members; that of 0 stays alone
    _, first, inverse = np.unique(chain, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse][rank]
