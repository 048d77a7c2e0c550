"""Objects seen in many windows become one each, and no two become one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_hqsam.errors import HQSAMError
from napari_hqsam.segmentation.stitch import Instances, draw, link

from .mosaic import Reader, connected, crop, raster_order, stitched, tiles_of

SEED = st.integers(0, 2**32 - 1)
# values 1-3 beside 0: objects of any shape, touching along edges and at corners
PICTURES = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 13), st.integers(1, 13)),
    elements=st.integers(0, 3),
    fill=st.integers(0, 3),
)
GRIDS = st.tuples(st.integers(4, 9), st.sampled_from([0.25, 0.5]))


@settings(deadline=None, max_examples=50)
@given(PICTURES, GRIDS, SEED, st.booleans())
def test_connected_objects_of_any_size_come_back_as_they_were(picture, grid, seed, split) -> None:
    rng = np.random.default_rng(seed)
    labels = connected(picture)
    tiles = tiles_of(labels.shape, *grid)
    found = [crop(labels, tile, rng, split=split) for tile in tiles]
    np.testing.assert_array_equal(stitched(labels.shape, tiles, found), labels)


@settings(deadline=None, max_examples=50)
@given(st.integers(3, 7), st.integers(0, 60), SEED)
def test_objects_smaller_than_the_overlap_come_back_even_in_parts(overlap, count, seed) -> None:
    """They are scattered pixels: nothing but the window that shows all of one can tell."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 37), np.uint64)
    for value in range(1, count + 1):
        h, w = rng.integers(1, overlap, 2)  # up to one pixel less than the overlap
        y, x = rng.integers(0, 40 - h), rng.integers(0, 37 - w)
        place = labels[y : y + h, x : x + w]
        place[(rng.random((h, w)) < 0.6) & (place == 0)] = value
    side = 14
    tiles = tiles_of(labels.shape, side, overlap / side)
    found = [crop(labels, tile, rng) for tile in tiles]
    np.testing.assert_array_equal(stitched(labels.shape, tiles, found), raster_order(labels))


@settings(deadline=None, max_examples=50)
@given(PICTURES, GRIDS, SEED, st.booleans())
def test_the_order_of_the_windows_changes_nothing(picture, grid, seed, scores) -> None:
    """Not even where they contradict each other: here each sees something else."""
    rng = np.random.default_rng(seed)
    tiles = tiles_of(picture.shape, *grid)
    found = []
    for tile in tiles:
        seen = np.where(rng.random(picture.shape) < 0.15, 0, picture)
        found.append(crop(connected(seen), tile, rng, scores=scores))
    once = stitched(picture.shape, tiles, found)
    order = rng.permutation(len(tiles))
    again = stitched(picture.shape, [tiles[i] for i in order], [found[i] for i in order])
    np.testing.assert_array_equal(once, again)


def test_neither_does_it_for_an_object_in_the_middle_between_two_windows() -> None:
    tiles = [((), (0, 0, 20, 16)), ((), (0, 8, 20, 24))]
    found = []
    for (plane, box), y in zip(tiles, (7, 12), strict=True):
        seen = np.zeros((20, 24), np.uint8)
        seen[8:12, 10:14] = 1
        seen[y, 10:14] = 1  # a row more above, or below
        found.append(Instances.of_labels(plane, box, seen[:, box[1] : box[3]]))
    once = stitched((20, 24), tiles, found)
    np.testing.assert_array_equal(once, stitched((20, 24), tiles[::-1], found[::-1]))
    assert np.count_nonzero(once) == 20


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(np.uint8, (3, 9, 8), elements=st.integers(0, 2), fill=st.integers(0, 2)),
    GRIDS,
    SEED,
)
def test_planes_are_apart_without_a_threshold(picture, grid, seed) -> None:
    rng = np.random.default_rng(seed)
    planes = [connected(p) for p in picture]
    count = 0
    for plane in planes:
        plane[plane > 0] += np.uint64(count)
        count = max(count, int(plane.max()))
    labels = np.stack(planes)
    tiles = tiles_of(labels.shape, *grid)
    found = [crop(labels, tile, rng) for tile in tiles]
    np.testing.assert_array_equal(stitched(labels.shape, tiles, found), labels)


def test_an_object_where_four_windows_meet_is_shown_by_one_of_them() -> None:
    """Each window sees it a little larger; their union would be a scar, a part would be a cut."""
    labels = np.zeros((24, 24), np.uint8)
    tiles = tiles_of(labels.shape, 16, 0.5)
    assert len(tiles) == 4
    found = []
    for i, (plane, box) in enumerate(tiles):
        own = labels.copy()
        own[10:14, 10:14] = 1
        own[[9, 9, 14, 14][i], [9, 14, 9, 14][i]] = 1  # one pixel more, at another corner
        found.append(Instances.of_labels(plane, box, own[box[0] : box[2], box[1] : box[3]]))
    out = stitched(labels.shape, tiles, found)
    assert out.max() == 1
    assert out[10:14, 10:14].all()
    assert np.count_nonzero(out) == 17


def test_a_magnified_window_shows_an_object_better() -> None:
    tiles = [((), (0, 0, 40, 40)), ((), (10, 12, 30, 32))]
    found = []
    for (plane, box), wide in zip(tiles, (12, 10), strict=True):  # in the middle of the large one
        seen = np.zeros((40, 40), np.uint8)
        seen[15:25, 15 : 15 + wide] = 1
        part = seen[box[0] : box[2], box[1] : box[3]]
        found.append(Instances.of_labels(plane, box, part, [1 / wide]))
    assert np.count_nonzero(stitched((40, 40), tiles, found)) == 100


def test_a_square_over_the_corner_of_four_windows_is_one_object_to_the_pixel() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[5:25, 4:26] = 1  # larger than any overlap, and than any window
    labels[25:, :] = 2  # touches it all along
    tiles = tiles_of(labels.shape, 16, 0.25)
    assert len(tiles) == 9
    rng = np.random.default_rng(0)
    found = [crop(labels, tile, rng) for tile in tiles]
    np.testing.assert_array_equal(stitched(labels.shape, tiles, found), labels)


def test_two_that_touch_in_the_seam_stay_two() -> None:
    labels = np.zeros((10, 28), np.uint8)
    labels[2:8, 10:14] = 1
    labels[2:8, 14:18] = 2
    tiles = tiles_of(labels.shape, 16, 0.25)
    rng = np.random.default_rng(0)
    out = stitched(labels.shape, tiles, [crop(labels, t, rng) for t in tiles])
    np.testing.assert_array_equal(out, labels)


def whole_and_piece(score_of_piece: float) -> np.ndarray:
    """The left window cuts an object, and thinks it is something else; the right one has it."""
    tiles = [((), (0, 0, 16, 16)), ((), (0, 12, 16, 28))]
    left, right = np.zeros((16, 28), np.uint8), np.zeros((16, 28), np.uint8)
    left[4:12, 15] = 1
    left[5, 14] = 1
    right[6:11, 14:20] = 1
    found = [
        Instances.of_labels(*tiles[0], left[:, :16], [score_of_piece]),
        Instances.of_labels(*tiles[1], right[:, 12:], [0.5]),
    ]
    return stitched((16, 28), tiles, found) - right


@pytest.mark.parametrize("score", [0.1, 0.9])
def test_a_piece_at_a_window_s_edge_leaves_no_scar_on_the_whole(score: float) -> None:
    assert not whole_and_piece(score).any()


def test_what_only_the_window_that_cuts_it_saw_is_not_shown() -> None:
    """The neighbour shows all of the place, away from its own edges, and found nothing there."""
    tiles = [((), (0, 0, 16, 16)), ((), (0, 8, 16, 24))]
    left = np.zeros((16, 16), np.uint8)
    left[6:9, 13:16] = 1
    left[2:5, 2:5] = 2  # only the left window sees this
    found = [
        Instances.of_labels(*tiles[0], left),
        Instances.of_labels(*tiles[1], np.zeros((16, 16), np.uint8)),
    ]
    out = stitched((16, 24), tiles, found)
    assert (out[:, :16] > 0).tolist() == (left == 2).tolist()
    assert not out[:, 16:].any()


def test_a_worse_duplicate_goes_and_a_nested_object_stays() -> None:
    tiles = [((), (0, 0, 20, 24)), ((), (0, 8, 20, 32))]
    merged, halves = np.zeros((20, 32), np.uint8), np.zeros((20, 32), np.uint8)
    merged[5:10, 10:20] = 1  # the left window takes two objects for one
    halves[5:10, 10:15] = 1
    halves[5:10, 15:20] = 2
    left, right = merged[:, :24], halves[:, 8:]
    for score, count in ((0.9, 1), (0.1, 2)):
        found = [
            Instances.of_labels(*tiles[0], left, [score]),
            Instances.of_labels(*tiles[1], right, [0.5, 0.5]),
        ]
        assert stitched((20, 32), tiles, found).max() == count


def test_objects_that_lie_in_each_other_do_not_stand_for_each_other() -> None:
    """The cell lies nearer to the middle of the left window, its nucleus to that of the right."""
    tiles = [((), (0, 0, 20, 24)), ((), (0, 8, 20, 32))]
    cell, nucleus = np.zeros((2, 20, 32), bool)
    cell[4:14, 9:21] = True
    nucleus[4:14, 13:21] = True  # most of the cell, and better scored
    box = (0, 0, 20, 32)
    found = [Instances.of(*tile, [(cell, box), (nucleus, box)], [0.5, 0.9]) for tile in tiles]
    links = link(tiles, Reader(found))
    assert [ids.tolist() for ids in links.ids] == [[1, 0], [0, 2]]


def pieces(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> tuple[list[list[int]], int]:
    """Bars of rows y0 to y1 that two windows cut, each at the edge that lies in the other."""
    tiles = [((), (0, 0, 20, 16)), ((), (0, 12, 20, 28))]
    found = []
    for tile, bars, columns in zip(tiles, (left, right), ((4, 16), (12, 24)), strict=True):
        masks = []
        for y0, y1 in bars:
            box = (y0, columns[0], y1, columns[1])
            masks.append((np.ones((y1 - y0, 12), bool), box))
        found.append(Instances.of(*tile, masks, np.full(len(masks), 0.5)))
    links = link(tiles, Reader(found))
    return [ids.tolist() for ids in links.ids], links.count


def test_pieces_are_one_if_more_than_half_of_them_agrees() -> None:
    assert pieces([(4, 10)], [(5, 11)]) == ([[1], [1]], 1)
    assert pieces([(4, 10)], [(6, 12)]) == ([[1], [2]], 2)  # half


def test_a_piece_goes_with_the_one_that_fits_best() -> None:
    """Both on the right are much like it, and overlap: they stay two."""
    assert pieces([(4, 12)], [(4, 11), (4, 12)]) == ([[1], [2, 1]], 2)
    assert pieces([(4, 12)], [(4, 12), (4, 11)]) == ([[1], [1, 2]], 2)
    assert pieces([(4, 11), (4, 12)], [(4, 12)]) == ([[1, 2], [2]], 2)


def test_wanted_labels_are_kept_and_are_one_object_in_all_windows() -> None:
    box = (0, 0, 8, 40)
    a, b = np.zeros((8, 40), bool), np.zeros((8, 40), bool)
    a[2:6, 2:14] = True
    b[2:6, 12:38] = True
    tiles = [((), (0, 0, 8, 16)), ((), (0, 10, 8, 26)), ((), (0, 24, 8, 40))]
    big = 2**40 + 1
    found = [
        Instances.of(*tiles[0], [(a, box), (b, box)], [0.9, 0.5], [7, big]),
        Instances.of(*tiles[1], [(b, box), (b, box)], [0.5, 0.4], [big, 9]),
        Instances.of(*tiles[2], [(b, box)], [0.5], [big]),
    ]
    links = link(tiles, Reader(found))
    assert [ids.tolist() for ids in links.ids] == [[7, big], [big, 9], [big]]
    assert (links.count, links.highest) == (3, big)
    out = draw((), box, zip(found, links.ids, strict=True))
    assert out.dtype == np.uint64
    np.testing.assert_array_equal(out, np.where(a, 7, np.where(b, big, 0)))


def test_numbers_go_on_after_the_labels_that_are_wanted() -> None:
    box = (0, 0, 4, 4)
    one = np.zeros((4, 4), bool)
    one[0, 0] = True
    other = np.zeros((4, 4), bool)
    other[3, 3] = True
    found = Instances.of((), box, [(one, box), (other, box)], [1, 1], [0, 2**33])
    links = link([((), box)], Reader([found]))
    assert links.ids[0].tolist() == [2**33 + 1, 2**33]
    full = Instances.of((), box, [(one, box), (other, box)], [1, 1], [0, 2**64 - 1])
    with pytest.raises(HQSAMError, match="labels"):
        link([((), box)], Reader([full]))


def test_a_hundred_thousand_objects_in_a_window() -> None:
    labels = np.zeros((700, 640), np.uint32)
    labels[::2, ::2] = np.arange(1, 350 * 320 + 1).reshape(350, 320)
    assert labels.max() > 99_999
    tiles = [((), (0, 0, 700, 640)), ((), (0, 0, 700, 320))]
    rng = np.random.default_rng(0)
    found = [crop(labels, tile, rng) for tile in tiles]
    np.testing.assert_array_equal(stitched(labels.shape, tiles, found), labels)


def test_ten_thousand_windows_are_read_a_few_times_each() -> None:
    side, across = 4, 100
    labels = np.zeros((3 * across + 1,) * 2, np.uint32)
    labels[3::10, 3::10] = labels[3::10, 4::10] = np.arange(1, 901).reshape(30, 30)
    tiles = tiles_of(labels.shape, side, 0.25)
    assert len(tiles) == across**2
    rng = np.random.default_rng(0)
    reader = Reader([crop(labels, tile, rng) for tile in tiles])
    links = link(tiles, reader)
    assert links.count == labels.max()
    assert set(reader.reads) == set(range(len(tiles)))
    assert max(reader.reads.values()) <= 3


def test_nothing_at_all() -> None:
    assert link([], Reader([])).count == 0
    tile = ((), (0, 0, 5, 5))
    empty = Instances.of(*tile, [], [])
    links = link([tile], Reader([empty]))
    assert (links.count, links.highest, len(links.ids[0])) == (0, 0, 0)


def test_only_what_has_its_centre_inside_is_kept() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[2:6, 2:6] = 1
    labels[2:6, 8:14] = 2  # its pieces have their centres on both sides
    tiles = tiles_of(labels.shape, 10, 0.5)
    rng = np.random.default_rng(0)
    found = [crop(labels, tile, rng) for tile in tiles]
    out = stitched(labels.shape, tiles, found, inside=lambda yx: yx[:, 1] > 9)
    np.testing.assert_array_equal(out, labels == 2)
