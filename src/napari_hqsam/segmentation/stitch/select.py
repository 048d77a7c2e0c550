"""Which of the windows' objects are shown: whole ones before pieces, none twice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.rows import Ints
from napari_hqsam.segmentation.stitch.instances import Ids
from napari_hqsam.segmentation.stitch.layout import Layout
from napari_hqsam.segmentation.stitch.overlap import best
from napari_hqsam.segmentation.stitch.survey import Survey

_WANTED, _WHOLE, _PIECES = 0, 1, 2


class Candidates(NamedTuple):
    """What may be shown: an object that a window shows whole, or the pieces of one.

    Attributes
    ----------
    wanted : ndarray of uint64
        (n,) the label that it is to have; 0 for any.
    boxes : ndarray of int64
        (n, 4)
    kept : ndarray of bool
        (n,)
    """

    wanted: Ids
    boxes: Ints
    kept: NDArray[np.bool_]


def joined(count: int, i: Ints, j: Ints) -> tuple[int, Ints]:
    """Union-find: the number of sets that pairs (i, j) of `count` nodes make, and each one's."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if count == 0:
        return 0, np.empty(0, np.int64)
    pairs = coo_array((np.ones(len(i), bool), (i, j)), shape=(count, count))
    sets, of = connected_components(pairs, directed=False)
    return int(sets), of.astype(np.int64)


def select(survey: Survey, layout: Layout) -> tuple[Ints, Candidates]:
    """Decide what is shown.

    1. What no edge of its window cuts is whole, unless it matches a whole object that reaches
       beyond that window. Each whole object is a candidate. Pieces that match where two windows
       show them are one together: their union. So are those of a wanted label.
    2. Of whole objects that match, with more than half of their union in common, the one is kept
       that is shown in most detail, and of those the one nearest to the middle of its window.
    3. A candidate goes if more than half of it is covered by better ones that other windows show:
       wanted before whole, whole before pieces, then by score. What the window itself shows
       beside it does not cover it: such objects lie in each other.
    4. Pieces go if another window shows all of their place, away from its edges and in no less
       detail, and has nothing like them: the object is not there.

    Returns
    -------
    of : ndarray of int64
        The candidate of each object of the survey.
    candidates : Candidates
    """
    n = len(survey.tile)
    free = survey.ids == 0
    whole = free & ~survey.cut
    i, j, pixels, same = survey.pairs
    # a part that lies apart is no whole, where another window shows all of the object
    alike = same & whole[i] & whole[j]
    part = [a[alike & _beyond(survey, layout, a, b)] for a, b in ((i, j), (j, i))]
    whole[np.concatenate(part)] = False
    piece = free & ~whole
    pieces = same & piece[i] & piece[j]
    wanted = np.flatnonzero(~free)
    wanted = wanted[np.argsort(survey.ids[wanted], kind="stable")]
    again = np.flatnonzero(survey.ids[wanted[1:]] == survey.ids[wanted[:-1]])
    count, of = joined(
        n,
        np.concatenate([i[pieces], wanted[again]]),
        np.concatenate([j[pieces], wanted[again + 1]]),
    )
    tier = np.full(count, _PIECES)
    tier[of[whole]], tier[of[~free]] = _WHOLE, _WANTED
    area = np.bincount(of, survey.areas, minlength=count).astype(np.int64)
    score = np.full(count, -np.inf)
    np.maximum.at(score, of, survey.scores)
    ids = np.zeros(count, np.uint64)
    ids[of] = survey.ids
    candidates = Candidates(ids, _boxes(survey, of, count), np.ones(count, bool))

    alike = same & whole[i] & whole[j] & (3 * pixels > survey.areas[i] + survey.areas[j])
    stands_for = _best_shown(survey, layout, i[alike], j[alike])
    candidates.kept[of[stands_for != np.arange(n)]] = False

    rank = np.empty(count, np.int64)
    rank[np.lexsort((np.arange(count), -score, tier))] = np.arange(count)
    _drop_covered(survey, of, stands_for, rank, area, tier != _WANTED, candidates.kept)
    _drop_unseen(survey, layout, of, candidates, tier == _PIECES)
    return of, candidates


def _beyond(survey: Survey, layout: Layout, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Whether objects `b` (n,) reach beyond the windows of `a` (n,)."""
    window, box = layout.boxes[survey.tile[a]], survey.boxes[b]
    low, high = box[:, :2] < window[:, :2], box[:, 2:] > window[:, 2:]
    return np.asarray((low | high).any(axis=1))


def _boxes(survey: Survey, of: Ints, count: int) -> Ints:
    boxes = np.empty((count, 4), np.int64)
    boxes[of] = survey.boxes
    np.minimum.at(boxes[:, :2], of, survey.boxes[:, :2])
    np.maximum.at(boxes[:, 2:], of, survey.boxes[:, 2:])
    return boxes


def _best_shown(survey: Survey, layout: Layout, i: Ints, j: Ints) -> Ints:
    """For each object the one that is kept in its place: itself, or one that it is paired with."""
    window = layout.boxes[survey.tile]
    size = (window[:, 2:] - window[:, :2]).max(axis=1, initial=1)
    # twice the distance of the middles
    away = survey.boxes[:, :2] + survey.boxes[:, 2:] - window[:, :2] - window[:, 2:]
    distance = (away**2).sum(axis=1) / size**2
    rank = np.empty(len(distance), np.int64)
    rank[np.lexsort((np.arange(len(distance)), distance, size))] = np.arange(len(distance))
    stands_for = np.arange(len(distance))
    better, worse = np.where(rank[i] < rank[j], i, j), np.where(rank[i] < rank[j], j, i)
    order = np.lexsort((rank[worse], rank[better]))
    for b, w in zip(better[order].tolist(), worse[order].tolist(), strict=True):
        if stands_for[b] == b and stands_for[w] == w:
            stands_for[w] = b
    return stands_for


def _drop_covered(
    survey: Survey,
    of: Ints,
    stands_for: Ints,
    rank: Ints,
    area: Ints,
    may_go: NDArray[np.bool_],
    kept: NDArray[np.bool_],
) -> None:
    """Drop candidates of which more than half is covered by better ones of other windows."""
    count, tiles = len(kept), len(survey.starts)
    i, j, pixels, _ = survey.pairs
    member, cover = np.concatenate([i, j]), np.concatenate([of[j], of[i]])
    pixels = np.concatenate([pixels, pixels])
    below = of[member]
    counts = kept[below] & kept[cover] & may_go[below] & (rank[cover] < rank[below])
    member, cover, pixels = member[counts], cover[counts], pixels[counts]
    # windows that show a candidate, or another object in whose place it is kept
    shown = np.unique(of[stands_for] * tiles + survey.tile)
    beside = np.isin(cover * tiles + survey.tile[member], shown)
    member, cover, pixels = member[~beside], cover[~beside], pixels[~beside]
    # pieces that overlap cover the same pixels: those of the largest count
    once = best(member * count + cover, np.arange(len(member)), pixels.astype(np.float64))
    below, cover, pixels = of[member[once]], cover[once], pixels[once]
    order = np.lexsort((rank[cover], rank[below]))
    covered = np.zeros(count, np.int64)
    for c, k, p in zip(
        below[order].tolist(), cover[order].tolist(), pixels[order].tolist(), strict=True
    ):
        if kept[k]:
            covered[c] += p
            if 2 * covered[c] > area[c]:
                kept[c] = False


def _drop_unseen(
    survey: Survey,
    layout: Layout,
    of: Ints,
    candidates: Candidates,
    pieces: NDArray[np.bool_],
) -> None:
    """Drop pieces where a window that shows all of their place found nothing like them."""
    sizes = (layout.boxes[:, 2:] - layout.boxes[:, :2]).max(axis=1, initial=0)
    planes = {
        int(i): plane
        for plane, of_plane in zip(layout.planes, layout.of_plane, strict=True)
        for i in of_plane
    }
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(len(pieces)), side="right")
    for c in np.flatnonzero(pieces & candidates.kept):
        own = survey.tile[order[(ends[c - 1] if c else 0) : ends[c]]]
        box = candidates.boxes[c]
        others = layout.meeting(planes[int(own[0])], box)
        inner = layout.inner[others]
        around = (inner[:, :2] <= box[:2]).all(axis=1) & (inner[:, 2:] >= box[2:]).all(axis=1)
        around &= (sizes[others] <= sizes[own].max()) & ~np.isin(others, own)
        candidates.kept[c] &= not around.any()
