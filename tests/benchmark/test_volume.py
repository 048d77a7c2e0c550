"""`napari-hqsam benchmark volume`: which objects are followed, how they are held to the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from napari_hqsam.benchmark import volume
from napari_hqsam.benchmark.counting import counting
from napari_hqsam.benchmark.instant import Instant
from napari_hqsam.benchmark.volume_cost import measure_cost, swaying_discs
from napari_hqsam.benchmark.volume_data import (
    LabelledStack,
    chosen_objects,
    followable,
    stacks,
)
from napari_hqsam.benchmark.volume_masks import (
    ends,
    error,
    masks_of,
    mean_boundary_iou,
    volume_iou,
)
from napari_hqsam.benchmark.volume_quality import follow_stack, measure_quality
from napari_hqsam.cli import main
from napari_hqsam.embedding.cache import FeatureCache
from napari_hqsam.errors import HQSAMError
from napari_hqsam.segmentation import Segmenter

SPINDLE, ROD = 7, 9


def spindle_and_rod() -> NDArray[np.uint8]:
    """Twelve slices: 7 grows and shrinks again on 1 to 10, 9 stays as it is on 4 to 10."""
    labels = np.zeros((12, 96, 120), np.uint8)
    y, x = np.mgrid[:96, :120]
    for z in range(1, 11):
        radius = 12 * np.sin(np.pi * (z - 0.5) / 10) + 3
        labels[z][np.hypot(y - 40, x - 40 - z) <= radius] = SPINDLE
        if z > 3:
            labels[z][np.hypot(y - 60, x - 90) <= 9] = ROD
    return labels


def stack_of(labels: NDArray[Any], name: str = "set/one") -> LabelledStack:
    return LabelledStack(name, np.where(labels > 0, 200, 30).astype(np.uint8), labels)


def write_set(
    folder: Path, labels: NDArray[Any], stem: str = "one", metadata: dict[str, Any] | None = None
) -> Path:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        about: dict[str, Any] = {"metadata": {"axes": "ZYX"[-labels.ndim :], **(metadata or {})}}
        if metadata is not None:
            about |= {"imagej": True, "resolution": (2.0, 2.0)}
        pixels = np.where(labels > 0, 200, 30).astype(np.uint8) if kind == "images" else labels
        tifffile.imwrite(folder / kind / f"{stem}.tif", pixels, **about)
    return folder


def test_stacks_are_found_with_their_spacing_and_pictures_are_passed_over(tmp_path: Path) -> None:
    labels = spindle_and_rod()
    write_set(tmp_path / "cells", labels, metadata={"unit": "um", "spacing": 2.0})
    write_set(tmp_path / "cells", labels[5], "flat")
    write_set(tmp_path / "cells", np.repeat(labels[5, ..., None], 3, axis=2), "colours")
    write_set(tmp_path / "others", labels)
    first, second = stacks(tmp_path)
    assert (first.name, first.spacing, first.axes) == ("cells/one", pytest.approx(4), "zyx")
    assert first.scale == (pytest.approx(4), 1, 1)
    np.testing.assert_array_equal(first.labels, labels)
    assert first.image.shape == labels.shape
    assert (second.name, second.spacing, second.scale) == ("others/one", None, None)
    assert [s.name for s in stacks(tmp_path, "others")] == ["others/one"]
    (alone,) = stacks(tmp_path / "others")
    assert alone.name == "others/one"


def test_what_only_says_where_objects_are_is_taken_apart_in_three_dimensions(
    tmp_path: Path,
) -> None:
    binary = np.zeros((6, 20, 20), np.uint8)
    binary[:3, 2:5, 2:5] = 255
    binary[3:, 5:8, 5:8] = 255  # touches it across slices by a corner: another one
    binary[:, 12:14, 12:14] = 255
    binary[:, 14:16, 14:16] = 255  # touches it within the slice
    (stack,) = stacks(write_set(tmp_path, binary))
    assert len(np.unique(stack.labels)) == 4
    assert stack.labels[0, 13, 13] == stack.labels[0, 15, 15] != 0
    assert stack.labels[2, 4, 4] != stack.labels[3, 5, 5]
    # numbers of objects stay as they are
    several = np.where(binary > 0, 3, 0) + (np.arange(20) > 10) * (binary > 0)
    (kept,) = stacks(write_set(tmp_path / "numbered", several.astype(np.uint8)))
    assert np.unique(kept.labels).tolist() == [0, 3, 4]


def test_what_training_saw_is_told(tmp_path: Path) -> None:
    seen = tmp_path / "plantseg_3d"
    write_set(seen, spindle_and_rod())
    left = spindle_and_rod()
    left[..., 80:] = 0
    write_set(seen, left, "left")
    found = {s.name: s.trained for s in stacks(tmp_path)}
    assert found == {"plantseg_3d/left": "yes", "plantseg_3d/one": "but its right quarter"}
    for stem in "abcd":
        write_set(seen, left, stem)
    found = {s.name.split("/")[1]: s.trained for s in stacks(tmp_path)}
    assert found == {"a": "yes", "b": "yes", "c": "held out", "d": "yes"} | {
        "left": "yes",
        "one": "yes",
    }
    write_set(tmp_path / "mitochondria", left)
    assert [s.trained for s in stacks(tmp_path, "mitochondria")] == ["no"]


def test_objects_are_chosen_by_a_rule_that_is_the_same_in_every_run() -> None:
    labels = np.zeros((8, 64, 64), np.uint16)
    for i in range(8):
        labels[1:7, 8 * i : 8 * i + 6, :6] = i + 1
    labels[2:5, :8, 20:40] = 50  # on three slices
    labels[:, :4, 50:56] = 60  # of 24 pixels
    labels[[0, 1, 6, 7], 20:30, 20:30] = 70  # is gone between
    every = followable(labels)
    assert [each[0] for each in every] == [*range(1, 9), 70]
    assert every[0] == (1, 4, 1, 6)
    assert every[-1] == (70, 6, 0, 7)  # the middle is where it is
    some, more = chosen_objects(labels, 3), chosen_objects(labels, 6)
    assert len(some) == 3
    assert set(some) < set(more) < set(every)
    assert some == chosen_objects(labels, 3) == sorted(some)
    assert chosen_objects(labels, 99) == every


def test_agreement_in_three_dimensions() -> None:
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[1:5, 4:14, 4:14] = 3
    truth = masks_of(labels, 3)
    assert sorted(truth) == [1, 2, 3, 4]
    assert (truth[1].bbox, truth[1].data.shape) == ((4, 4, 14, 14), (10, 10))
    assert volume_iou(truth, truth) == mean_boundary_iou(truth, truth, 2) == 1
    moved = masks_of(np.roll(labels, 1, axis=0), 3)
    assert volume_iou(truth, moved) == pytest.approx(3 / 5)
    assert mean_boundary_iou(truth, moved, 2) == pytest.approx(3 / 5)
    assert ends(truth, moved) == (1, 1)
    assert (error(truth, moved, 1), error(truth, moved, 2), error(truth, moved, 0)) == (100, 0, 0)
    longer = dict.fromkeys(range(6), truth[1])
    assert ends(truth, longer) == (2, 0)
    assert ends(truth, {2: truth[2]}) == (0, 3)
    assert ends(truth, {}) == (0, 4)
    assert volume_iou(truth, {}) == 0
    assert volume_iou({}, {}) == 1


class FakeJob:
    """Has followed an object already."""

    def __init__(self, labels: NDArray[Any]) -> None:
        self.labels = labels

    def __enter__(self) -> FakeJob:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def result(self) -> NDArray[Any]:
        return self.labels


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[Any], NDArray[Any]]]:
    """What `propagate` makes of its seeds, for each call; the last one goes on.

    Told where to begin and to end, it makes the spindle of these slices.
    """
    found: list[Callable[[Any], NDArray[Any]]] = []

    def propagate(
        self: Segmenter, seeds: Any, *, start: int = 0, stop: int = 0, **options: Any
    ) -> FakeJob:
        if stop:
            assert options["min_score"] == 0
            return FakeJob((only(SPINDLE, *range(start, stop)) > 0).astype(np.uint32))
        return FakeJob(found.pop(0)(seeds) if len(found) > 1 else found[0](seeds))

    monkeypatch.setattr(Segmenter, "propagate", propagate, raising=False)
    return found


def only(label: int, *slices: int) -> NDArray[Any]:
    labels = spindle_and_rod()
    there = np.isin(np.arange(len(labels)), slices)[:, None, None]
    return ((labels == label) & there).astype(np.uint32)


def test_ways_to_follow_an_object_are_held_to_the_truth(
    followed: list[Any], tmp_path: Path
) -> None:
    followed.append(lambda seeds: only(SPINDLE, *range(4, 9)))
    labels = np.where(spindle_and_rod() == SPINDLE, SPINDLE, 0).astype(np.uint8)
    (trial,) = follow_stack(Instant(256), stack_of(labels), tmp_path)
    assert (trial.label, trial.slices, trial.past, trial.short) == (SPINDLE, 10, 0, 5)
    assert trial.ious["oracle"] == trial.ious["same box"] == 1  # it is what is bright
    assert 0.3 < trial.ious["copied"] < 0.8
    areas = (labels > 0).sum(axis=(1, 2))
    assert trial.ious["propagate"] == pytest.approx(areas[4:9].sum() / areas.sum())
    assert trial.ious["ends given"] == 1
    assert trial.boundary == {"propagate": pytest.approx(0.5), "oracle": 1}
    assert list(tmp_path.iterdir()) == []


def test_a_click_goes_into_the_worst_slice_and_becomes_a_seed(
    followed: list[Any], tmp_path: Path
) -> None:
    asked: list[Any] = []

    def first(seeds: Any) -> NDArray[Any]:
        asked.append(seeds)
        labels = only(ROD, *range(4, 11))
        labels[9, 50:70, 75:118] = 1  # far too much
        return labels

    def then(seeds: Any) -> NDArray[Any]:
        asked.append(seeds)
        return only(ROD, *range(4, 11))

    followed += [first, then]
    labels = np.where(spindle_and_rod() == ROD, ROD, 0).astype(np.uint8)
    (trial,) = follow_stack(Instant(256), stack_of(labels), tmp_path)
    assert trial.ious["propagate"] < trial.ious["one click"] == 1
    assert [seed.plane for seed in asked[0][1]] == [(7,)]
    assert [seed.plane for seed in asked[1][1]] == [(7,), (9,)]
    clicked = asked[1][1][1]
    assert clicked.prompts.labels.tolist() == [0]
    (y, x), rod = clicked.prompts.points[0], labels[9] > 0
    assert not rod[int(y), int(x)]
    assert 50 <= y < 70
    assert 75 <= x < 118


def test_what_does_not_agree_misses_its_target(followed: list[Any], tmp_path: Path) -> None:
    followed.append(lambda seeds: np.zeros((12, 96, 120), np.uint32))
    stack = stack_of(spindle_and_rod())
    nothing = stack_of(np.zeros((3, 96, 120), np.uint8), "set/empty")
    figures, table = measure_quality(Instant(256), [stack, nothing], tmp_path)
    assert [f.met for f in figures] == [False, None, None]
    assert figures[0].value == 0
    ((row),) = (dict(zip(table.columns, r, strict=True)) for r in table.rows)
    assert (row["stack"], row["in training"]) == ("set/one", "no")
    assert (row["objects"], row["of"], row["slices"]) == (2, 2, 8.5)
    assert (row["propagate"], row["oracle"], row["of oracle"]) == (0, 1, 0)
    assert (row["past"], row["short"]) == (0, 8.5)


def test_an_object_that_is_not_seen_in_its_box_is_not_found(tmp_path: Path) -> None:
    labels = spindle_and_rod()
    stack = LabelledStack("set/dark", np.full(labels.shape, 30, np.uint8), labels)
    for trial in follow_stack(Instant(256), stack, tmp_path):
        assert set(trial.ious.values()) == {0}
        assert trial.short == trial.slices


def test_an_object_is_followed_by_the_real_job(tmp_path: Path) -> None:
    """The network sees what is bright, so that all but the copies are right."""
    figures, table = measure_quality(Instant(256), [stack_of(spindle_and_rod())], tmp_path)
    (row,) = (dict(zip(table.columns, r, strict=True)) for r in table.rows)
    assert row["propagate"] > 0.8
    assert row["propagate"] > row["copied"]
    assert figures[0].met


def test_what_a_network_is_asked_is_counted() -> None:
    image, middles = swaying_discs(4, 3)
    assert image.shape == (3, 128, 128)
    assert middles.shape == (4, 3, 2)
    assert all(image[z, int(y), int(x)] == 210 for z in range(3) for y, x in middles[:, z])
    model = Instant(64)
    with Segmenter(image, axes="zyx", contrast_limits=(0, 255), model=model) as segmenter:
        own = segmenter.features.cache
        with counting(segmenter, FeatureCache(1)) as counts:  # has room for one
            for z in (0, 1, 0):
                segmenter.predict(box=(10, 10, 50, 50), plane=(z,))
        assert (counts.encoded, len(counts.windows)) == (3, 2)  # one of them twice
        assert (counts.decoded, counts.calls) == (3, 3)
        assert segmenter.features.cache is own
    assert "encode" not in vars(model)


def test_the_cost_of_following_discs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    figures = measure_cost(Instant(64), tmp_path, objects=4, slices=5, batch=(2, 3), rounds=1)
    by_name = {f.name: f for f in figures}
    assert by_name["every object is followed to both ends"].met
    assert by_name["windows encoded, of those that were needed"].met
    assert by_name["decodings for an object on a slice"].value <= 2
    assert by_name["memory"].value >= 0
    assert by_name["2 objects one by one, against together"].value > 0


def test_parts_and_names_that_are_wrong_are_told(tmp_path: Path) -> None:
    with pytest.raises(HQSAMError, match="--part speed: choose quality or cost"):
        volume.choose_parts(["speed"], tmp_path)
    with pytest.raises(HQSAMError, match="--part quality: it needs labelled stacks; give --data"):
        volume.choose_parts(["quality"], None)
    assert volume.choose_parts(None, None) == ("cost",)
    write_set(tmp_path, spindle_and_rod())
    with pytest.raises(HQSAMError, match="no labelled stack whose name contains 'mitochondria'"):
        volume.measure_volume(
            Instant(64), tmp_path, tmp_path, parts=["quality"], only="mitochondria"
        )


def test_the_command_prints_a_row_for_each_stack(
    followed: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    followed.append(lambda seeds: only(SPINDLE, *range(1, 11)))
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: Instant(256))
    data, out = write_set(tmp_path / "data", spindle_and_rod()), tmp_path / "out"
    words = ["benchmark", "volume", "--data", data, "--part", "quality", "--objects", 1, "-o", out]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    assert "data/one: IoU, of the oracle's" in shown
    report = json.loads((out / "benchmark-volume.json").read_text())
    (table,) = report["tables"]
    assert [(row["stack"], row["objects"], row["of"]) for row in table["rows"]] == [
        ("data/one", 1, 2)
    ]
    assert main(["benchmark", "volume", "--part", "quality"]) == 2
    assert "give --data DIR" in capsys.readouterr().err
