from __future__ import annotations

import numpy as np
import pytest
from skan import Skeleton as Graph

from napari_hqsam.labels import skeleton as module
from napari_hqsam.labels.skeleton import Skeleton, measure_skeletons, thin


def cross(h: int, w: int) -> np.ndarray:
    """A plus of lines three pixels wide."""
    mask = np.zeros((h, w), bool)
    mask[h // 2 - 1 : h // 2 + 2] = mask[:, w // 2 - 1 : w // 2 + 2] = True
    return mask


@pytest.mark.parametrize("together", [2**24, 300])
def test_many_at_once_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(module, "_TOGETHER", together)
    rng = np.random.default_rng(0)
    masks = [rng.random((int(h), int(w))) < 0.7 for h, w in rng.integers(3, 25, (30, 2))]
    steps = (0.5, 0.2)
    told: list[tuple[int, int]] = []
    found = measure_skeletons(
        [thin(m) for m in masks], steps, lambda done, total, doing: told.append((done, total))
    )
    for mask, result in zip(masks, found, strict=True):
        picture = np.zeros(mask.shape, bool)
        picture[tuple(thin(mask).T)] = True
        graph = Graph(picture, spacing=steps)
        assert result.length == pytest.approx(graph.path_lengths().sum())
        assert result.branches == graph.n_paths
        assert result.ends == (graph.degrees == 1).sum()
    assert (told[0], told[-1]) == ((0, 30), (30, 30))
    assert (len(told) > 5) == (together == 300)


def test_a_cross_has_four_branches_and_ends() -> None:
    (found,) = measure_skeletons([thin(cross(41, 61))], (2.0, 1.0))
    assert (found.branches, found.ends) == (4, 4)
    assert found.length == pytest.approx(40 * 2 + 60, abs=8)


def test_steps_between_planes_count() -> None:
    rod = np.zeros((20, 5, 5), bool)
    rod[:, 1:4, 1:4] = True
    (found,) = measure_skeletons([thin(rod)], (3.0, 1.0, 1.0))
    assert (found.branches, found.ends) == (1, 2)
    assert found.length == pytest.approx(19 * 3, abs=6)


def test_dots_and_nothing_have_no_length() -> None:
    dots = np.zeros((5, 5), bool)
    dots[1, 1] = dots[3, 3] = True
    empty = np.zeros((3, 3), bool)
    line = np.ones((1, 4), bool)
    found = measure_skeletons([thin(m) for m in (dots, empty, line)], (1.0, 1.0))
    assert found == [Skeleton(), Skeleton(), Skeleton(3.0, 1, 2)]
    assert measure_skeletons([thin(dots), thin(empty)], (1.0, 1.0)) == [Skeleton()] * 2
    assert measure_skeletons([], (1.0, 1.0)) == []
