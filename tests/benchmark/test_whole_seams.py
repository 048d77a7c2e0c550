from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_hqsam.benchmark.mosaic_seams import Sameness, measure_mosaic_seams, sameness
from napari_hqsam.benchmark.tiles import Pictures, labelled_pictures, sample_pictures, tile_side
from napari_hqsam.embedding.job import Progress
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.images.windows import grid
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter

ALL = (slice(0, 40), slice(0, 40))


def alone() -> np.ndarray:
    labels = np.zeros((40, 40), np.uint32)
    labels[5:15, 5:15] = 1
    labels[20:30, 20:30] = 2
    labels[35:, :10] = 3  # touches the edge
    return labels


def test_the_same_objects_match_whatever_their_numbers() -> None:
    whole = np.zeros((80, 80), np.uint64)
    whole[40:, 40:] = np.where(alone(), alone() + np.uint64(2**33), 0)
    found = sameness(alone(), whole, (slice(40, 80), slice(40, 80)))
    assert found.ious.tolist() == [1, 1]
    assert not found.cut.any()


def test_an_object_in_two_pieces_is_cut() -> None:
    whole = alone()
    whole[20:30, 25:30] = 7
    found = sameness(alone(), whole, ALL)
    assert found.cut.tolist() == [False, True]
    assert found.ious.tolist() == [1, 0.5]
    whole[20:30, 20:29] = 2  # a sliver of a tenth counts, less does not
    assert sameness(alone(), whole, ALL).cut.any()
    whole[20, 29] = 2
    assert not sameness(alone(), whole, ALL).cut.any()


def test_an_object_that_has_grown_beyond_its_image_is_not_the_same() -> None:
    whole = np.zeros((80, 40), np.uint8)
    whole[:40] = alone()
    whole[45:55, 20:30] = 2
    assert sameness(alone(), whole, ALL).ious.tolist() == [1, 0.5]


def test_a_lost_object_has_no_iou() -> None:
    assert sameness(alone(), np.zeros((40, 40), np.uint8), ALL).ious.tolist() == [0, 0]


def test_objects_are_told_apart_by_whether_other_windows_show_them() -> None:
    """The image alone has windows at 0, 18 and 36; in the mosaic, where it begins at 54, one
    that begins 18 before it, too, and one 54 behind that instead of a last one."""
    windows = grid((60, 60), 24), grid((60, 168), 24)
    assert {w.origin[1] for w in windows[0]} == {0, 18, 36}
    assert {w.origin[1] for w in windows[1]} == {0, 18, 36, 54, 72, 90, 108, 126, 144}
    labels = np.zeros((60, 60), np.uint8)
    for number, x in enumerate((2, 8, 28, 56), start=1):
        labels[30:34, x : x + 3] = number
    whole = np.zeros((60, 168), np.uint8)
    whole[:, 54:114] = labels
    found = sameness(labels, whole, (slice(0, 60), slice(54, 114)), windows)
    assert found.same.tolist() == [False, True, True, False]
    assert found.match(same=True) == 100
    assert Sameness.join([found, found]).same.sum() == 4


class Finished:
    """A job that has nothing left to do but to draw."""

    plan = ("link", "finish")

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def __iter__(self) -> Iterator[Progress]:
        return (Progress(i, 2, 0, 0.0) for i in (1, 2))

    def result(self) -> np.ndarray:
        return self.labels


def tiles() -> list[LabelledPlane]:
    return [LabelledPlane(str(i), (alone() > 0) * np.uint8(200), alone()) for i in range(9)]


def test_a_mosaic_is_held_against_each_of_its_images(
    small: HQSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels are those of a threshold, which knows no windows; in the mosaic one is split."""
    from scipy.ndimage import label

    def segment_all(self: Segmenter, prompts: str, *, diameter: float) -> Any:
        assert diameter == 10
        image = self.source.read((), 0, 0, *self.plane_shape)[..., 0]
        labels = label(image > 100)[0]
        if prompts == "grid" and max(labels.shape) > 40:
            labels[20:30, 25:30] = 99
        return Finished(labels)

    monkeypatch.setattr(Segmenter, "segment_all", segment_all, raising=False)
    figures, table = measure_mosaic_seams(small, {"set": Pictures(tiles(), 10.0)})
    found = {f.name: f for f in figures}
    match = found["mosaic of set, threshold: objects that match"]
    assert (match.value, match.met) == (100, True)
    assert found["mosaic of set, threshold: objects cut"].met is True
    worse = found["mosaic of set, grid: objects that match"]
    assert worse.value == pytest.approx(100 * 17 / 18)
    assert worse.met is False
    assert found["mosaic of set, grid: objects cut"].value == 1
    assert [row[2] for row in table.rows] == [18, 18]
    assert [row[5] for row in table.rows] == [18, 18]  # without windows, none is another one
    assert found["mosaic of set, grid: objects that match, in the same windows"].met is False
    # the stand-in does nothing else
    share = found["mosaic of set, grid: linking and drawing"]
    assert (share.value, share.target) == (pytest.approx(100), 5)


def test_tiles_are_cut_from_what_is_large_enough(tmp_path: Path) -> None:
    numbers = np.arange(64, dtype=np.uint16).reshape(8, 8)
    tiled = np.tile(alone().astype(np.uint16), (8, 8))
    labels = np.where(tiled > 0, tiled + 3 * np.kron(numbers, np.ones((40, 40), np.uint16)), 0)
    for name, sizes in (("large", [300, 100, 290, 150]), ("few", [300])):
        for folder in ("images", "masks"):
            (tmp_path / name / folder).mkdir(parents=True)
            for i, size in enumerate(sizes):
                Image.fromarray(labels[:size, :size]).save(tmp_path / name / folder / f"{i}.png")
    found = labelled_pictures(tmp_path, 16)
    assert list(found) == ["large"]
    tiles, diameter = found["large"].tiles, found["large"].diameter
    assert diameter == pytest.approx(11.3, abs=0.1)
    assert tile_side(diameter, 16) == 3 * 48
    assert {tile.labels.shape for tile in tiles} == {(144, 144)}
    assert [tile.name for tile in tiles] == ["0"] * 4 + ["2"] * 4 + ["3"]


def test_there_are_pictures_without_any_data() -> None:
    (found,) = sample_pictures(512).values()
    assert [tile.image.shape[:2] for tile in found.tiles] == [(144, 144)] * 9
    assert {tile.name for tile in found.tiles} == {"coins", "cell", "immunohistochemistry"}
