from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.benchmark.degrade import AS_THEY_ARE, DEGRADATIONS, _pieces, degrade


def disc(radius: int, side: int = 80, middle: tuple[int, int] = (40, 40)) -> np.ndarray:
    y, x = np.ogrid[:side, :side]
    return (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("how", [AS_THEY_ARE, *DEGRADATIONS])
def test_what_it_is_called_is_what_it_does(how: str) -> None:
    labels = disc(20).astype(np.uint16) * 7
    labels[34:46, 50:] = 0  # a bay, which its convex hull fills
    right = labels == 7
    found = degrade(labels, how)
    worse = found.labels == 7
    assert found.spared == frozenset()
    assert set(np.unique(found.labels)) == {0, 7}
    assert found.labels.dtype == np.uint16
    match how:
        case "as they are":
            assert (worse == right).all()
        case "dilated":
            assert not (right & ~worse).any()
            assert worse[40, 17]  # three pixels wider, on the left
            assert not worse[40, 16]
        case "eroded":
            assert not (worse & ~right).any()
            assert not worse[40, 22]
            assert worse[40, 23]
        case "convex hull":
            assert worse[40, 55]
            assert not (right & ~worse).any()
        case "shifted":
            away = np.argwhere(worse).mean(axis=0) - np.argwhere(right).mean(axis=0)
            assert np.hypot(*away) == pytest.approx(3, abs=0.8)
            assert worse.sum() == right.sum()
        case _:
            assert 0.85 < iou(worse, right) < 0.99
            assert worse[40, 40]


def test_an_object_that_is_thinner_is_moved_less() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[10:13, 5:75] = 1  # three pixels wide
    labels[30:50, 5:75] = 2
    assert [p.distance for p in _pieces(labels)] == [1, 3]
    for how in DEGRADATIONS:
        worse = degrade(labels, how).labels
        assert (worse == 1).sum() > 60, how
    eroded = degrade(labels, "eroded").labels
    assert (eroded[11, 6:74] == 1).all()
    assert not (eroded == 1)[[10, 12]].any()


def test_a_tree_is_spared_its_convex_hull() -> None:
    labels = np.zeros((80, 80), np.uint8)
    labels[38:42, :] = labels[:, 38:42] = 3
    labels[5:12, 50:60] = 4
    found = degrade(labels, "convex hull")
    assert found.spared == {3, 4}  # and a rectangle is one
    assert (found.labels == labels).all()
    assert degrade(labels, "eroded").spared == set()


def test_a_line_is_not_eroded_to_a_point() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[10:12, 5:55] = 1
    labels[30:50, 5:55] = 2
    found = degrade(labels, "eroded")
    assert found.spared == {1}
    assert (found.labels == 1).sum() == 100


def test_an_object_goes_on_beyond_the_edge_of_its_image() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, :20] = 1
    eroded = degrade(labels, "eroded").labels
    assert eroded[20, 0] == 1
    assert eroded[20, 19] == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(1, 8), st.integers(1, 8)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([*DEGRADATIONS]),
    st.integers(0, 5),
)
def test_no_object_is_lost_or_gets_another_number(
    boxes: list[tuple[int, int, int, int]], how: str, seed: int
) -> None:
    labels = np.zeros((24, 24), np.int64)
    for number, (y, x, h, w) in enumerate(boxes):
        labels[y : y + h, x : x + w] = 70_000 - number
    found = degrade(labels, how, seed)
    assert set(np.unique(found.labels)) - {0} == set(np.unique(labels)) - {0}
    assert found.labels.shape == labels.shape
