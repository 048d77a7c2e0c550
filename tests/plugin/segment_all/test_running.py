"""What a run leaves behind: a new layer, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hqsam.embedding.job import Progress
from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.label_folder import STORE
from napari_hqsam.plugin.segment_all import output
from napari_hqsam.plugin.segment_all.part import Part
from napari_hqsam.plugin.segment_all.running import progress_line

from .conftest import PICTURE, begin

LABELS = np.zeros((200, 220), dtype=np.uint16)
LABELS[42:80, 40:78] = 7
LABELS[120:150, 120:150] = 900


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fits into memory."""
    monkeypatch.setattr(output, "_LARGEST_BYTES", 1000)


def test_the_result_is_a_new_layer_that_lies_on_the_image(desk: Any) -> None:
    image = desk.open(
        scale=(0.5, 0.25), translate=(10, -3), rotate=12, units=("um", "um"), axis_labels=("y", "x")
    )
    found = desk.run()
    assert found.name == "cells objects"
    assert sorted(np.unique(found.data)) == [0, 1, 2]
    corner = (150.0, 17.0)
    np.testing.assert_allclose(found.data_to_world(corner), image.data_to_world(corner))
    assert found.units == image.units
    assert desk.viewer.layers.selection.active is image
    assert not desk.told


def test_inputs_are_not_changed(desk: Any) -> None:
    desk.open()
    mine = desk.viewer.add_labels(LABELS.copy(), name="mine")
    refined = desk.run()
    assert refined.name == "cells refined"
    assert set(np.unique(refined.data)) == {0, 7, 900}
    np.testing.assert_array_equal(mine.data, LABELS)
    assert (refined.data != LABELS).any()
    # on top: the labels that it is made from would hide it
    assert desk.names.index("cells refined") > desk.names.index("mine")


def test_what_is_painted_during_a_run_plays_no_part(desk: Any) -> None:
    desk.open()
    mine = desk.viewer.add_labels(LABELS.copy())
    desk.control.go.clear()
    desk.dock.run()
    desk.until(lambda: bool(desk.control.calls))
    mine.data[0:20, 0:20] = 5
    desk.control.go.set()
    desk.until(lambda: not desk.dock.running.busy)
    refined = desk.viewer.layers["cells refined"]
    assert 5 not in refined.data
    assert refined.features["moved_max_px"].max() < 2


def test_a_second_run_makes_a_second_layer(desk: Any) -> None:
    desk.open()
    first = desk.run()
    second = desk.run()
    assert second is not first
    assert {"cells objects", "cells objects [1]"} <= set(desk.names)


def test_objects_are_measured(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5), units="um")
    table = desk.run().features
    assert list(table["index"]) == [1, 2]
    np.testing.assert_allclose(table["area_um2"], [400, 225])
    np.testing.assert_allclose(table["mean_c0"], 1000)
    assert table["perimeter_um"].gt(0).all()
    assert "class" not in table
    assert "2 objects" in desk.said


def test_a_film_is_measured_at_each_time(desk: Any) -> None:
    desk.open(np.stack([PICTURE, PICTURE * 0]), axis_labels=("t", "y", "x"))
    desk.c.extent.where.value = "all"
    table = desk.run().features
    assert table[["index", "t"]].to_numpy().tolist() == [[1, 0], [2, 0]]


def test_of_a_part_only_that_part_is_measured(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, ...]] = []
    of = Part.of

    def spied(part: Part, labels: Any) -> Any:
        read.append(part.shape)
        return of(part, labels)

    monkeypatch.setattr(Part, "of", spied)
    desk.open(np.stack([PICTURE, PICTURE, PICTURE])[:, None], axis_labels=("t", "z", "y", "x"))
    desk.viewer.add_labels(np.stack([LABELS] * 3)[:, None])
    desk.viewer.add_shapes([[[100, 100], [100, 180], [180, 180], [180, 100]]])
    desk.c.extent.where.value = "shape"
    desk.viewer.dims.current_step = (2, 0, 0, 0)
    table = desk.run().features
    assert read == [(1, 81, 81)] * 3
    assert table[["index", "t"]].to_numpy().tolist() == [[900, 2]]
    assert table["centroid_y_px"][0] == pytest.approx(134.5)
    assert table["mean_c0"][0] == pytest.approx(1000 * 900 / 1024)
    assert table["moved_max_px"][0] == pytest.approx(np.sqrt(2))


def test_measurements_can_be_left_out(desk: Any) -> None:
    desk.open()
    desk.c.extent.measure.value = False
    assert desk.run().features.empty


def test_refined_labels_tell_how_far_they_have_moved(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5), units="um")
    desk.viewer.add_labels(LABELS, scale=(0.5, 0.5), units="um")
    table = desk.run().features  # a pixel larger on all sides
    assert list(table["index"]) == [7, 900]
    assert table["moved_mean_um"].between(0.45, 0.6).all()
    np.testing.assert_allclose(table["moved_max_um"], 0.5 * np.sqrt(2))


def test_progress_and_time_left(desk: Any) -> None:
    desk.open()
    seen: list[tuple[str, int, int]] = []
    desk.dock.running.progress.connect(lambda *told: seen.append(told))
    desk.run()
    steps = [told for told in seen if "steps" in told[0]]
    assert [told[1:] for told in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert steps[1][0] == "2 of 4 steps · 2 s left · 0.10 GB written"
    assert any("Measuring" in told[0] for told in seen)
    assert desk.c.run.enabled
    assert desk.c.progress.native.isHidden()


def test_a_download_is_told_of_and_can_be_cancelled(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(loader: Any, _subject: Any) -> None:
        while not loader._cancelled():
            loader._tell("Downloading vit_b…", 30_000_000, 360_000_000)
        raise HQSAMError("vit_b: the download was cancelled")

    monkeypatch.setattr("napari_hqsam.plugin.loader.Loader.segmenter", load)
    desk.open()
    desk.dock.run()
    desk.until(lambda: desk.said == "Downloading vit_b… 30 of 360 MB")
    desk.dock.cancel()
    desk.until(lambda: not desk.dock.running.busy)
    assert not desk.told
    assert desk.c.run.enabled


@pytest.mark.parametrize(
    ("seconds", "said"), [(float("nan"), ""), (40, "40 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_time_left_in_words(seconds: float, said: str) -> None:
    line = progress_line(Progress(1200, 5000, 0, seconds))
    assert line == "1,200 of 5,000 steps" + (f" · {said} left" if said else "")


def test_a_cancelled_run_leaves_nothing(desk: Any) -> None:
    desk.open()
    before = desk.names
    desk.control.go.clear()
    desk.dock.run()
    desk.until(lambda: "1 of 4" in desk.said)
    assert not desk.c.run.enabled
    assert not desk.c.cancel.native.isHidden()
    desk.c.cancel.native.click()
    desk.control.go.set()
    desk.until(lambda: not desk.dock.running.busy)
    assert desk.names == before
    assert desk.said == "Stopped; nothing is kept."
    assert desk.control.closed == 1
    assert not desk.told
    assert desk.run() is not None  # and it can be run again


def test_a_cancelled_measurement_leaves_the_labels(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_assignment: Any, _labels: Any, _part: Any, job: Any) -> None:
        while True:
            job.check()

    monkeypatch.setattr("napari_hqsam.plugin.segment_all.running.measured", slow)
    desk.open()
    desk.dock.run()
    desk.until(lambda: "cells objects" in desk.names)
    desk.dock.cancel()
    desk.until(lambda: not desk.dock.running.busy)
    assert "cells objects" in desk.names
    assert desk.said == "Stopped; the labels stay, without measurements."
    assert not desk.told


def test_a_failure_is_one_line(desk: Any) -> None:
    desk.open()
    desk.control.error = "slide.tif: cannot be read; is the disk there?"
    assert desk.run() is None
    assert desk.told == ["HQ-SAM: slide.tif: cannot be read; is the disk there?"]
    assert desk.said == desk.control.error
    assert desk.c.run.enabled


def test_an_image_that_is_closed_meanwhile(desk: Any) -> None:
    image = desk.open(scale=(2, 2))
    desk.control.go.clear()
    desk.dock.run()
    desk.until(lambda: bool(desk.control.calls))
    desk.viewer.layers.remove(image)
    desk.control.go.set()
    desk.until(lambda: not desk.dock.running.busy)
    np.testing.assert_array_equal(desk.viewer.layers["cells objects"].scale, (2, 2))
    assert not desk.told


def test_axes_of_the_layer_are_kept(desk: Any) -> None:
    stack = np.stack([PICTURE, PICTURE * 0, PICTURE])  # three time points of one slice
    image = desk.open(stack[None], axis_labels=("z", "t", "y", "x"), scale=(4, 1, 2, 2))
    desk.c.extent.where.value = "all"
    found = desk.run()
    assert found.data.shape == image.data.shape
    np.testing.assert_array_equal(found.data[0] > 0, stack > 500)
    np.testing.assert_array_equal(found.scale, image.scale)
    refined = desk.viewer.add_labels(found.data, scale=(4, 1, 2, 2), name="mine")
    desk.choose("refine")
    desk.c.method.labels.value = refined
    assert desk.run().data.shape == image.data.shape
    assert not desk.told


@pytest.mark.usefixtures("small_memory")
class TestOnDisk:
    def test_large_labels_are_written_to_a_place_that_can_be_chosen(
        self, desk: Any, tmp_path: Path
    ) -> None:
        desk.open(scale=(0.5, 0.5), units="um")
        offered = desk.c.chosen_place
        assert offered.name == "cells-objects.zarr"
        assert offered.parent.name == "labels"  # where the Annotate dock keeps its own
        desk.c.place.value = tmp_path / "mine"
        found = desk.run()
        assert found.metadata[STORE] == str(tmp_path / "mine.zarr")
        assert not found.editable
        np.testing.assert_array_equal(np.asarray(found.data)[PICTURE > 500] > 0, True)
        np.testing.assert_array_equal(found.scale, (0.5, 0.5))
        assert list(found.features["index"]) == [1, 2]

    def test_the_next_one_goes_elsewhere(self, desk: Any) -> None:
        desk.open()
        first = desk.run()
        assert Path(first.metadata[STORE]).name == "cells-objects.zarr"
        assert desk.c.chosen_place.name == "cells-objects-2.zarr"
        desk.choose("refine")
        assert desk.c.chosen_place.name == "cells-refined.zarr"

    def test_a_cancelled_run_says_where_it_goes_on(self, desk: Any) -> None:
        desk.open()
        place = desk.c.chosen_place
        desk.control.go.clear()
        desk.dock.run()
        desk.until(lambda: "1 of 4" in desk.said)
        desk.dock.cancel()
        desk.control.go.set()
        desk.until(lambda: not desk.dock.running.busy)
        assert desk.said == (
            f"Stopped. What is done is kept in {place}: the same Run goes on there."
        )
        assert desk.names == ["cells"]
        assert desk.c.chosen_place == place
        assert desk.run().metadata[STORE] == str(place)

    def test_a_job_that_was_cut_short_is_offered_again(self, desk: Any) -> None:
        output.labels_folder().mkdir(parents=True)
        (output.labels_folder() / "cells-objects.zarr").mkdir()
        desk.open()
        assert desk.c.chosen_place.name == "cells-objects-2.zarr"
        begin(output.labels_folder() / "cells-objects.zarr")
        desk.dock._on_image()
        desk.c.show_place(None)
        desk.dock._on_image()
        assert desk.c.chosen_place.name == "cells-objects.zarr"

    def test_no_place_is_one_line(self, desk: Any) -> None:
        desk.open()
        desk.c.place.line_edit.value = ""
        desk.dock.run()
        (line,) = desk.told
        assert "choose where to save" in line

    def test_axes_of_the_layer_are_kept(self, desk: Any) -> None:
        stack = np.stack([PICTURE, PICTURE * 0, PICTURE])
        image = desk.open(stack[None], axis_labels=("z", "t", "y", "x"))
        desk.c.extent.where.value = "all"
        found = desk.run()
        assert found.data.shape == image.data.shape
        np.testing.assert_array_equal(np.asarray(found.data)[0] > 0, stack > 500)


def test_small_labels_ask_for_no_place(desk: Any) -> None:
    desk.open()
    assert not desk.c.place_shown
    assert desk.c.chosen_place is None
