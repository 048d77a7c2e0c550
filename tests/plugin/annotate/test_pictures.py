"""One image after the other: saved beside, skipped where done or broken, encoded before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_hqsam.embedding.features import Features
from napari_hqsam.plugin.next_image import ahead

FIRST = (36, 36, 84, 84)


def picture(value: int) -> np.ndarray:
    data = np.zeros((200, 220), dtype=np.uint16)
    data[40:80, 40:80] = value
    return data


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images."""
    place = tmp_path / "images"
    place.mkdir()
    for name, value in (("a", 900), ("b", 1000), ("c", 1100)):
        tifffile.imwrite(place / f"{name}.tif", picture(value))
    return place


@pytest.fixture
def queue(desk: Any, images: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The first image of the folder is open."""
    monkeypatch.setattr(ahead, "_MILLISECONDS", 20)
    return desk


def begin(desk: Any, images: Path) -> Any:
    widget = desk.dock.pictures.widget
    widget.open_folder(images)
    desk.until(lambda: widget.current is not None)
    return widget


def image_names(desk: Any) -> list[str]:
    from napari.layers import Image

    return [layer.name for layer in desk.viewer.layers if isinstance(layer, Image)]


def test_labels_are_saved_beside_and_found_again(desk: Any, images: Path) -> None:
    widget = begin(desk, images)
    assert widget.current.name == "a.tif"
    desk.commit(*FIRST)
    first = np.array(desk.labels.data)
    assert widget.done_and_next()
    assert widget.current.name == "b.tif"
    assert image_names(desk) == ["b"]
    assert desk.dock.controls.labels.labels.value is None  # those of the first are gone
    (saved,) = (p for p in images.rglob("*.tif") if p.stem.startswith("a") and p.stem != "a")
    np.testing.assert_array_equal(tifffile.imread(saved), first)
    assert widget.previous_image()
    np.testing.assert_array_equal(desk.labels.data, first)
    assert desk.dock.controls.image.image.value.name == "a"
    desk.commit(*FIRST)
    assert widget.next_image()
    assert (tifffile.imread(saved) > 0).any()


def test_done_images_are_skipped_the_next_time(sit_down: Callable[[], Any], images: Path) -> None:
    desk = sit_down()
    widget = begin(desk, images)
    desk.commit(*FIRST)
    widget.done_and_next()
    desk.dock.shut_down()
    again = sit_down()
    widget = begin(again, images)
    assert widget.current.name == "b.tif"


def test_a_broken_image_is_skipped_and_nothing_is_lost(desk: Any, images: Path) -> None:
    (images / "b.tif").write_bytes(b"II*\0 no tiff")
    widget = begin(desk, images)
    desk.commit(*FIRST)
    labels = desk.labels
    assert widget.next_image()
    assert widget.current.name == "c.tif"
    assert "b.tif" in desk.told[-1]
    (images / "a.tif").write_bytes(b"II*\0 no tiff")
    for at in list(desk.dock.pictures._prepared):
        del desk.dock.pictures._prepared[at]
    desk.commit(*FIRST)
    labels = desk.labels
    assert not widget.go(images / "a.tif")
    assert labels in desk.viewer.layers
    assert image_names(desk) == ["c"]
    desk.dock.undo()
    assert not labels.data.any()


def test_labels_that_cannot_be_saved_keep_the_user_there(
    desk: Any, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_hqsam.errors import HQSAMError

    def refuse(*_args: Any, **_options: Any) -> None:
        raise HQSAMError("a-labels.tif: the disk is full")

    widget = begin(desk, images)
    desk.commit(*FIRST)
    monkeypatch.setattr("napari_hqsam.plugin.annotate.pictures.write_labels", refuse)
    assert not widget.next_image()
    assert "the disk is full" in desk.told[-1]
    assert widget.current.name == "a.tif"
    assert desk.labels.data[60, 60] == 1
    assert desk.session.dirty


def test_the_next_image_is_encoded_before_it_is_opened(
    desk: Any, images: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    make = Features._make

    def record(self: Features, *args: Any) -> Any:
        encoded.append(self.source.name)
        return make(self, *args)

    monkeypatch.setattr(Features, "_make", record)
    widget = desk.dock.pictures.widget
    widget._ahead._timer.setInterval(20)
    begin(desk, images)
    desk.draw(*FIRST)
    desk.wait()
    desk.until(lambda: {"b", "c"} <= set(encoded))
    widget.next_image()
    desk.draw(*FIRST)
    desk.wait()
    assert encoded.count("b") == 1
    assert desk.annotator.masks[0].area > 1500


def test_closing_lets_go_of_what_was_prepared(desk: Any, images: Path) -> None:
    begin(desk, images)
    desk.until(lambda: bool(desk.dock.pictures._prepared))
    desk.dock.shut_down()
    assert not desk.dock.pictures._prepared


def test_strokes_in_labels_that_were_there_are_saved(desk: Any, images: Path) -> None:
    tifffile.imwrite(images / "a_labels.tif", (picture(900) > 0).astype(np.uint16))
    widget = begin(desk, images)
    assert widget.current.name == "a.tif"
    desk.until(lambda: desk.labels is not None)
    layer = desk.labels
    layer.selected_label, layer.brush_size = 7, 4
    layer.paint((150, 150), 7)  # with the brush alone: no prompt, no commit
    painted = np.array(layer.data)
    assert widget.next_image()
    np.testing.assert_array_equal(tifffile.imread(images / "a_labels.tif"), painted)


def test_a_labels_layer_of_the_user_s_own_stays(desk: Any, images: Path) -> None:
    widget = begin(desk, images)
    mine = desk.viewer.add_labels(np.ones((200, 220), dtype=np.uint16), name="mine")
    desk.dock.controls.labels.labels.value = mine
    assert widget.next_image()
    assert mine in desk.viewer.layers
