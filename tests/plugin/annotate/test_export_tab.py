"""Objects to files and back, from the tab."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from qtpy.QtWidgets import QApplication

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.annotate.exports import FORMATS, Export

FIRST, SECOND = (36, 36, 84, 84), (116, 116, 154, 154)
PLACED = {"scale": (0.5, 0.5), "units": ("micrometer", "micrometer")}


@pytest.fixture
def worked(desk: Any) -> Any:
    """Two objects of a class are committed."""
    desk.open(name="cells", **PLACED)
    desk.dock.controls.labels.class_name.value = "cell"
    desk.commit(*FIRST)
    desk.commit(*SECOND)
    return desk


def export(desk: Any, title: str, path: Path) -> Path:
    """Export in the format whose title begins like that; the file written."""
    tab = desk.dock.exporting.tab
    (index,) = (i for i, each in enumerate(FORMATS) if each.title.startswith(title))
    tab.format.setCurrentIndex(index)
    written: list[Path] = []
    tab.written.connect(lambda made, _export: written.append(made))
    tab.export(path)
    desk.until(lambda: bool(written) or bool(desk.told))
    assert not desk.told
    desk.until(lambda: not tab._task.busy)
    assert written[0].name in tab.status.text()
    assert tab.export_button.isEnabled()
    return written[0]


def test_labels_tiff(worked: Any, tmp_path: Path) -> None:
    assert worked.session.dirty
    path = export(worked, "Labels, TIFF", tmp_path / "out.tif")
    np.testing.assert_array_equal(tifffile.imread(path), worked.labels.data)
    assert not worked.session.dirty
    assert "saved" in worked.dock.controls.status.state.value
    worked.dock.undo()
    assert worked.session.dirty
    (note,) = tmp_path.glob("out*.json")
    text = note.read_text()
    assert "micro" in text
    assert "napari-hqsam replay" in text or "replay" in json.loads(text)["command"]


def test_labels_ome_zarr(worked: Any, tmp_path: Path) -> None:
    path = export(worked, "Labels, OME-Zarr", tmp_path / "out.zarr")
    array = zarr.open_group(path, mode="r")["0"]
    np.testing.assert_array_equal(array[:], worked.labels.data)
    assert not worked.session.dirty


def test_coco(worked: Any, tmp_path: Path) -> None:
    path = export(worked, "COCO", tmp_path / "out")  # the suffix is added
    assert path.suffix == ".json"
    saved = json.loads(path.read_text())
    assert [a["area"] for a in saved["annotations"]] == [1600, 900]
    assert saved["categories"][0]["name"] == "cell"


def test_geojson(worked: Any, tmp_path: Path) -> None:
    saved = json.loads(export(worked, "GeoJSON", tmp_path / "out.geojson").read_text())
    assert len(saved["features"]) == 2


def test_imagej_rois(worked: Any, tmp_path: Path) -> None:
    path = export(worked, "ImageJ", tmp_path / "out.zip")
    assert len(zipfile.ZipFile(path).namelist()) == 2


def test_measurements_are_no_save(worked: Any, tmp_path: Path) -> None:
    table = pd.read_csv(export(worked, "Measurements", tmp_path / "out.csv"))
    assert len(table) == 2
    areas = next(table[name] for name in table.columns if name.startswith("area"))
    np.testing.assert_allclose(areas, [1600 * 0.25, 900 * 0.25], rtol=0.01)
    assert worked.session.dirty


def test_overlaps_are_warned_of_when_flattened(worked: Any, tmp_path: Path) -> None:
    worked.commit(*FIRST)
    tab = worked.dock.exporting.tab
    tab.format.setCurrentIndex(0)
    tab.export(tmp_path / "out.tif")
    worked.until(lambda: bool(worked.told))
    assert "1 pairs of objects overlap, such as (1, 3)" in worked.told[-1]


def test_labels_that_nobody_has_looked_at_are_exported(desk: Any, tmp_path: Path) -> None:
    desk.open(name="cells")
    data = np.zeros((200, 220), np.uint8)
    data[2:9, 2:9] = 4
    desk.add_labels(data)
    saved = json.loads(export(desk, "COCO", tmp_path / "out.json").read_text())
    assert [a["area"] for a in saved["annotations"]] == [49]


def test_a_pyramid_is_exported_at_full_size(desk: Any, tmp_path: Path) -> None:
    desk.open(name="cells")
    data = np.zeros((200, 220), np.uint8)
    data[2:9, 2:9] = 4
    desk.add_labels([data, data[::2, ::2]])
    path = export(desk, "Labels, TIFF", tmp_path / "out.tif")
    np.testing.assert_array_equal(tifffile.imread(path), data)


@pytest.mark.parametrize("suffix", ["COCO", "GeoJSON"])
def test_objects_are_taken_in_as_one_step(suffix: str, worked: Any, tmp_path: Path) -> None:
    path = export(worked, suffix, tmp_path / f"out.{'json' if suffix == 'COCO' else 'geojson'}")
    before = np.array(worked.labels.data)
    worked.viewer.layers.remove(worked.labels)
    worked.dock.controls.labels.labels.value = None
    told = worked.dock.exporting._take_in(path)
    assert "2 of 2 objects" in told
    np.testing.assert_array_equal(worked.labels.data, before)
    assert {each.class_name for each in worked.session.objects.values()} == {"cell"}
    worked.dock.undo()
    assert not worked.labels.data.any()


def test_objects_taken_in_replace_none_that_is_being_corrected(worked: Any, tmp_path: Path) -> None:
    path = export(worked, "COCO", tmp_path / "out.json")
    worked.dock.objects.reopen(1)
    with pytest.raises(HQSAMError, match="object 1"):
        worked.dock.exporting._take_in(path)
    assert worked.session.editing == 1


def test_nothing_to_export_is_one_line(desk: Any, tmp_path: Path) -> None:
    tab = desk.dock.exporting.tab
    tab.export(tmp_path / "out.tif")
    assert "there is no Labels layer to export" in desk.told[-1]
    tab.copy_command()
    assert "there is no Labels layer to export" in desk.told[-1]
    with pytest.raises(HQSAMError, match="open the image first"):
        desk.dock.exporting._take_in(tmp_path / "none.json")


def test_a_place_that_cannot_be_written_is_one_line(worked: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    worked.dock.exporting.tab.export(tmp_path / "file" / "out.tif")
    worked.until(lambda: bool(worked.told))
    assert "\n" not in worked.told[-1]
    assert worked.session.dirty


def test_the_command_is_copied(worked: Any) -> None:
    worked.dock.exporting.tab.copy_command()
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text().startswith("napari-hqsam replay")


def test_a_cancelled_export_writes_nothing(worked: Any, tmp_path: Path, monkeypatch: Any) -> None:
    def write(_export: Export, _wanted: Any, _path: Path, job: Any, **_options: Any) -> None:
        while True:
            job.check()

    monkeypatch.setattr(Export, "write", write)
    tab = worked.dock.exporting.tab
    tab.export(tmp_path / "out.tif")
    tab.cancel_button.click()
    worked.until(lambda: "Cancelled" in tab.status.text())
    assert worked.session.dirty


def test_what_is_changed_while_it_is_written_is_not_saved(worked: Any, tmp_path: Path) -> None:
    tab, session = worked.dock.exporting.tab, worked.session
    tab.format.setCurrentIndex(0)
    tab.export(tmp_path / "out.tif")
    session.delete([1])  # before the answer of the thread is delivered
    worked.until(lambda: tab.status.text().startswith("Written"))
    assert (tifffile.imread(tmp_path / "out.tif") == 1).any()
    assert session.dirty
    assert session.saved is None
