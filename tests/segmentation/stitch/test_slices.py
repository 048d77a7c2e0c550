"""Objects of neighbouring slices are linked one to one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.segmentation.stitch import Instances, link

from .mosaic import Reader, crop, stitched, tiles_of

SEED = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 12), SEED)
def test_straight_objects_of_a_volume_come_back_with_one_label_each(count, seed) -> None:
    """Columns that touch, of any cross-section, across seams and corners of windows."""
    rng = np.random.default_rng(seed)
    sites = rng.integers(0, 30, (count, 2))
    yx = np.moveaxis(np.indices((30, 30)), 0, -1)[..., None, :]
    owner = np.argmin(((yx - sites) ** 2).sum(axis=-1), axis=-1) + 1
    labels = np.repeat(owner[None], 4, axis=0)
    for value in range(1, count + 1):  # each begins and ends somewhere
        first, last = np.sort(rng.integers(0, 4, 2))
        labels[:first][labels[:first] == value] = 0
        labels[last + 1 :][labels[last + 1 :] == value] = 0
    tiles = tiles_of(labels.shape, 16, 0.25)
    found = [crop(labels, tile, rng) for tile in tiles]
    out = stitched(labels.shape, tiles, found, between_slices=0.5)
    pairs = np.unique(np.stack([labels.ravel(), out.ravel().astype(int)]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))
    again = rng.permutation(len(tiles))
    shuffled = [tiles[i] for i in again], [found[i] for i in again]
    np.testing.assert_array_equal(out, stitched(labels.shape, *shuffled, between_slices=0.5))


def slices(*planes: list[list[int]], first: tuple[int, ...] = ()) -> tuple[list, list]:
    tiles, found = [], []
    for z, rows in enumerate(planes):
        labels = np.array(rows)
        box = (0, 0, *labels.shape)
        tiles.append(((*first, z), box))
        found.append(Instances.of_labels((*first, z), box, labels))
    return tiles, found


def test_two_objects_of_a_slice_never_become_one() -> None:
    """An object that splits goes on as its larger part."""
    tiles, found = slices([[1, 1, 1, 1, 1, 1]], [[1, 1, 1, 1, 2, 2]], [[1, 1, 1, 1, 1, 1]])
    links = link(tiles, Reader(found), between_slices=0.2)
    assert [ids.tolist() for ids in links.ids] == [[1], [1, 2], [1]]
    assert links.count == 2


def test_the_threshold_counts() -> None:
    tiles, found = slices([[1, 1, 1, 0]], [[0, 1, 1, 1]])  # IoU 1/2
    assert link(tiles, Reader(found), between_slices=0.5).count == 1
    assert link(tiles, Reader(found), between_slices=0.51).count == 2
    assert link(tiles, Reader(found)).count == 2


def test_what_a_slice_shows_is_compared_and_not_what_it_hides() -> None:
    """A better object lies over half of another: the rest of that goes on."""
    box = (0, 0, 1, 8)
    wide, over = np.ones((1, 8), bool), np.zeros((1, 8), bool)
    over[0, 3:] = True
    tiles = [((0,), box), ((1,), box)]
    found = [
        Instances.of((0,), box, [(wide, box), (over, box)], [0.5, 0.9]),
        Instances.of_labels((1,), box, np.array([[1, 1, 1, 2, 2, 2, 2, 2]])),
    ]
    links = link(tiles, Reader(found), between_slices=0.9)
    assert links.ids[0].tolist() == links.ids[1].tolist() == [1, 2]


def test_time_points_and_gaps_are_not_crossed() -> None:
    early, late = slices([[1, 1]], first=(0,)), slices([[1, 1]], first=(1,))
    tiles, found = early[0] + late[0], early[1] + late[1]
    assert link(tiles, Reader(found), between_slices=0.5).count == 2
    tiles, found = slices([[1, 1]], [[1, 1]], [[1, 1]])
    assert link(tiles, Reader(found), between_slices=0.5).count == 1
    assert link(tiles[::2], Reader(found[::2]), between_slices=0.5).count == 2


def test_a_window_is_read_a_few_times() -> None:
    labels = np.tile(np.arange(1, 17).reshape(4, 4).repeat(8, 0).repeat(8, 1), (3, 1, 1))
    tiles = tiles_of(labels.shape, 10, 0.3)
    rng = np.random.default_rng(0)
    reader = Reader([crop(labels, tile, rng) for tile in tiles])
    assert link(tiles, reader, between_slices=0.5).count == 16
    assert max(reader.reads.values()) <= 6
