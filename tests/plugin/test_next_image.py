"""The queue of images in a window: what is saved, opened, skipped and prepared, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionViewItem

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.next_image import NextImageWidget, ahead
from napari_hqsam.session.worklist import Worklist
from napari_hqsam.session.worklist.state import STATE

LEFT = Qt.MouseButton.LeftButton


class Viewer:
    """Stands in for what opens and saves: a log of what it was asked."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.widget: NextImageWidget
        self.broken: set[str] = set()
        self.refuse = ""
        self.prepared: list[str] = []
        self.idle = True

    def open(self, path: Path) -> None:
        if path.stem in self.broken:
            raise RuntimeError("truncated\nat byte 7")
        labels = self.widget.labels(path)
        self.log.append(f"open {path.stem}" + (f" with {labels.name}" if labels else ""))

    def save(self) -> Path | None:
        if self.refuse:
            raise HQSAMError(self.refuse)
        target = self.widget.target()
        if target is None or self.widget.current.stem == "empty":  # type: ignore[union-attr]
            return None
        target.touch()
        self.log.append(f"save {target.name}")
        return target


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    for kind in ("show_warning", "show_info"):
        monkeypatch.setattr(f"napari_hqsam.plugin.next_image.widget.{kind}", lines.append)
    return lines


@pytest.fixture
def viewer() -> Viewer:
    return Viewer()


@pytest.fixture
def widget(
    qtbot: Any, viewer: Viewer, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[NextImageWidget]:
    monkeypatch.setattr(ahead, "_MILLISECONDS", 10)
    made = viewer.widget = NextImageWidget(
        viewer.open,
        viewer.save,
        lambda path: viewer.prepared.append(path.stem),
        lambda: viewer.idle,
    )
    qtbot.addWidget(made)
    made.resize(360, 600)
    made.show()
    yield made
    made.shut_down()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for stem in ("a", "b", "c", "d"):
        (tmp_path / f"{stem}.tif").touch()
    return tmp_path


@pytest.fixture
def begun(qtbot: Any, widget: NextImageWidget, folder: Path) -> NextImageWidget:
    widget.open_folder(folder)
    qtbot.waitUntil(lambda: widget.current is not None)
    return widget


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, LEFT)


def test_from_image_to_image_labels_are_saved_before_the_next_is_opened(
    qtbot: Any, begun: NextImageWidget, viewer: Viewer, said: list[str]
) -> None:
    c = begun.controls
    assert c.progress.text() == "0 of 4 done"
    press(qtbot, c.done)
    press(qtbot, c.next)
    press(qtbot, c.previous)
    assert viewer.log == [
        "open a",
        "save a_labels.tif",
        "open b",
        "save b_labels.tif",
        "open c",
        "save c_labels.tif",
        "open b with b_labels.tif",
    ]
    assert c.progress.text() == "1 of 4 done"
    press(qtbot, c.previous)  # done or not
    assert viewer.log[-1] == "open a with a_labels.tif"
    press(qtbot, c.previous)
    assert said == ["HQ-SAM: this is the first image"]
    for _ in range(3):
        press(qtbot, c.done)
    press(qtbot, c.done)
    assert c.progress.text() == "4 of 4 done"
    assert said[-1] == "HQ-SAM: no other image is left to do"


def test_the_next_time_it_goes_on_where_work_ended(
    qtbot: Any, begun: NextImageWidget, viewer: Viewer, folder: Path
) -> None:
    begun.done_and_next()
    begun.done_and_next()
    again = NextImageWidget(viewer.open, viewer.save)
    viewer.widget = again
    qtbot.addWidget(again)
    again.open_folder(folder)
    qtbot.waitUntil(lambda: again.current is not None)
    assert again.current == folder / "c.tif"
    assert again.controls.progress.text() == "2 of 4 done"


def test_labels_that_cannot_be_saved_keep_the_user_there(
    qtbot: Any, begun: NextImageWidget, viewer: Viewer, said: list[str]
) -> None:
    viewer.refuse = "a_labels.tif: the disk is full"
    for button in (begun.controls.next, begun.controls.done):
        press(qtbot, button)
    assert not begun.go(begun.worklist[2].path)  # type: ignore[index]
    assert (viewer.log, begun.current.stem) == (["open a"], "a")  # type: ignore[union-attr]
    assert said == ["HQ-SAM: a_labels.tif: the disk is full"] * 3
    assert begun.controls.progress.text() == "0 of 4 done"


def test_broken_images_are_told_in_one_line_and_skipped(
    qtbot: Any, begun: NextImageWidget, viewer: Viewer, said: list[str]
) -> None:
    viewer.broken = {"b", "c"}
    press(qtbot, begun.controls.next)
    assert viewer.log == ["open a", "save a_labels.tif", "open d"]
    (line,) = said
    assert line == "HQ-SAM: skipped: b.tif: truncated (and 1 more)"
    model = begun.controls.images.model()
    assert model.index(1, 0).data() == "b.tif  (cannot be opened)"
    press(qtbot, begun.controls.previous)
    assert viewer.log[-1] == "open a with a_labels.tif"  # not tried again
    viewer.broken = set()
    assert begun.go(begun.worklist[1].path)  # type: ignore[index]
    assert model.index(1, 0).data() == "b.tif"  # repaired meanwhile


def test_a_folder_of_broken_images_ends_after_some(
    qtbot: Any, widget: NextImageWidget, viewer: Viewer, said: list[str], tmp_path: Path
) -> None:
    viewer.broken = {f"x{i}" for i in range(50)}
    for stem in viewer.broken:
        (tmp_path / f"{stem}.tif").touch()
    widget.open_folder(tmp_path)
    qtbot.waitUntil(lambda: len(said) == 1)
    assert "(and 19 more)" in said[0]
    assert widget.current is None
    assert viewer.log == []


def test_an_image_without_objects_can_be_done(
    qtbot: Any, widget: NextImageWidget, tmp_path: Path
) -> None:
    (tmp_path / "empty.tif").touch()
    widget.open_folder(tmp_path)
    qtbot.waitUntil(lambda: widget.current is not None)
    press(qtbot, widget.controls.next)
    assert widget.controls.progress.text() == "0 of 1 done"
    press(qtbot, widget.controls.done)
    assert widget.controls.progress.text() == "1 of 1 done"


def test_a_tick_marks_as_done_and_back(qtbot: Any, begun: NextImageWidget, folder: Path) -> None:
    view = begun.controls.images
    model = view.model()
    rect = view.visualRect(model.index(2, 0))
    option = QStyleOptionViewItem()
    view.initViewItemOption(option)
    option.rect = rect
    option.features |= QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
    box = view.style().subElementRect(QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, view)
    at: QPoint = box.center()
    qtbot.mouseClick(view.viewport(), LEFT, pos=at)
    assert [image.done for image in begun.worklist or ()] == [False, False, True, False]
    assert begun.controls.progress.text() == "1 of 4 done"
    qtbot.mouseClick(view.viewport(), LEFT, pos=at)
    assert begun.controls.progress.text() == "0 of 4 done"
    assert (folder / STATE).exists()


def test_a_double_click_opens(qtbot: Any, begun: NextImageWidget, viewer: Viewer) -> None:
    view = begun.controls.images
    at = view.visualRect(view.model().index(2, 0)).center()
    qtbot.mouseClick(view.viewport(), LEFT, pos=at)
    qtbot.mouseDClick(view.viewport(), LEFT, pos=at)
    assert viewer.log == ["open a", "save a_labels.tif", "open c"]


def test_what_is_skipped_is_the_users_choice(begun: NextImageWidget, folder: Path) -> None:
    a, b, c, d = (folder / f"{stem}.tif" for stem in "abcd")
    (folder / "b_labels.tif").touch()
    begun.mark(c, True)
    begun.controls.skip_labelled.setChecked(True)
    begun.next_image()
    assert begun.current == d
    begun.go(a)
    begun.controls.skip_labelled.setChecked(False)
    begun.next_image()
    assert begun.current == b
    begun.controls.skip_done.setChecked(False)
    begun.next_image()
    assert begun.current == c


def test_what_colleagues_have_done_meanwhile_is_skipped(
    begun: NextImageWidget, folder: Path
) -> None:
    # with nothing new to mark, lest that look at the file
    begun.next_image()
    begun.previous_image()
    theirs = Worklist(sorted(folder.glob("*.tif")), folder)
    theirs.mark(folder / "b.tif", done=True)
    begun.next_image()
    assert begun.current == folder / "c.tif"


def test_the_next_two_are_prepared_once_nothing_is_computed(
    qtbot: Any, widget: NextImageWidget, viewer: Viewer, folder: Path
) -> None:
    viewer.idle = False
    widget.open_folder(folder)
    qtbot.waitUntil(lambda: widget.current is not None)
    qtbot.wait(50)
    assert viewer.prepared == []
    viewer.idle = True
    qtbot.waitUntil(lambda: viewer.prepared == ["b", "c"])
    widget.next_image()
    qtbot.waitUntil(lambda: viewer.prepared[2:] == ["c", "d"])
    widget.shut_down()


def test_looking_for_images_can_be_cancelled(
    qtbot: Any, begun: NextImageWidget, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    go_on = threading.Event()

    def slow(*_args: Any, **_more: Any) -> Any:
        for n in range(1000):
            yield n
            go_on.wait(0.02)
        raise AssertionError("not cancelled")

    before = begun.worklist
    monkeypatch.setattr("napari_hqsam.plugin.next_image.widget.scan_folder", slow)
    begun.open_folder(folder)
    qtbot.waitUntil(lambda: "Found" in begun.controls.busy.text())
    press(qtbot, begun.controls.cancel)
    go_on.set()
    qtbot.wait(100)
    assert not begun.controls.busy.isVisible()
    assert begun.worklist is before
    assert begun.current == folder / "a.tif"


def test_new_choices_keep_the_image_that_is_open(
    qtbot: Any, begun: NextImageWidget, viewer: Viewer, folder: Path
) -> None:
    c = begun.controls
    begun.next_image()
    before = begun.worklist
    c.labels_folder.setText(str(folder / "out"))
    qtbot.keyClick(c.labels_folder, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: begun.worklist is not before)
    assert begun.current == folder / "b.tif"
    assert viewer.log[-1] == "save b_labels.tif"  # where it was open
    assert begun.target() == folder / "out" / "b_labels.tif"
    assert begun.target(large=True).suffix == ".zarr"  # type: ignore[union-attr]


def test_a_list_file_and_a_useless_one(
    qtbot: Any, widget: NextImageWidget, said: list[str], folder: Path
) -> None:
    listed = folder / "todo.txt"
    listed.write_text("d.tif\ngone.tif\nb.tif\n")
    widget.open_list(listed)
    qtbot.waitUntil(lambda: widget.current is not None)
    assert widget.current == folder / "d.tif"
    assert said[0] == "HQ-SAM: skipped: gone.tif: no such file; check todo.txt"
    widget.next_image()
    assert widget.current == folder / "b.tif"
    widget.open_list(folder / "none.txt")
    qtbot.waitUntil(lambda: len(said) == 2)
    assert "none.txt: cannot be read" in said[1]
    assert widget.current == folder / "b.tif"  # what was shown stays
    assert widget.controls.source.text() == "todo.txt"
