"""Work that was not saved when the program ended, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

PICTURE = np.zeros((200, 220), dtype=np.uint16)
PICTURE[40:80, 40:80] = 1000
PICTURE[120:150, 120:150] = 1000
FIRST, SECOND = (36, 36, 84, 84), (116, 116, 154, 154)
N = 5

# A real napari with the dock; it commits N objects and one box more, says so, and hangs.
WORK = """
import sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from conftest import BrightInBox
import napari, napari_hqsam.weights
from qtpy.QtWidgets import QApplication

napari_hqsam.weights.load_model = lambda *_args, **_options: BrightInBox()
viewer = napari.Viewer()
viewer.open(sys.argv[2], plugin="napari-hqsam")
_, dock = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
annotator = dock.annotator

def draw(y, x, side):
    annotator.use("box")
    box = np.array([[y, x], [y, x + side], [y + side, x + side], [y + side, x]], float)
    annotator.prompts.shapes.add_rectangles(box)
    while dock.engine.busy or not annotator.masks:
        QApplication.processEvents()
        time.sleep(0.005)

for i in range(int(sys.argv[3])):
    draw(41 + 7 * i, 41 + 7 * i, 6)
    annotator.commit()
draw(120, 120, 20)
labels = dock.controls.labels.labels.value
labels.brush_size = 3
with labels.block_history():
    labels.paint((180, 180), 99)
np.save(sys.argv[4], labels.data)
print("DONE", flush=True)
time.sleep(600)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, PICTURE)
    return path


def bar_of(desk: Any) -> Any:
    return desk.dock._recovery_bar


def open_file(desk: Any, path: Path) -> Any:
    (layer,) = desk.viewer.open(path, plugin="napari-hqsam")
    desk.dock.reset_choices()
    desk.dock.controls.image.image.value = layer
    return layer


def restore(desk: Any) -> None:
    desk.until(lambda: not bar_of(desk).isHidden())
    bar_of(desk).restore_button.click()
    desk.until(lambda: desk.dock.controls.labels.labels.value is not None)


@pytest.mark.gui
def test_all_commits_of_a_killed_napari_come_back(
    image: Path, folder: Path, tmp_path: Path, sit_down: Callable[[], Any]
) -> None:
    state = tmp_path / "labels.npy"
    tests = Path(__file__).parents[1]
    words = [sys.executable, "-W", "ignore", "-c", WORK, str(tests), image, str(N), state]
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8") as napari:
        assert napari.stdout is not None
        done = any(line.startswith("DONE") for line in iter(napari.stdout.readline, ""))
        os.kill(napari.pid, signal.SIGKILL)
    assert done
    desk = sit_down()
    open_file(desk, image)
    desk.until(lambda: not bar_of(desk).isHidden())
    assert f"{N + 1} objects and prompts" in bar_of(desk).text.text()  # one was painted
    restore(desk)
    np.testing.assert_array_equal(desk.labels.data, np.load(state))
    assert len(desk.session.objects) == N + 1
    assert desk.boxes == 1
    assert bar_of(desk).isHidden()
    while desk.session.can_undo:
        desk.dock.undo()
    assert not desk.labels.data.any()


def test_the_next_session_offers_what_the_last_one_left(
    image: Path, sit_down: Callable[[], Any]
) -> None:
    first = sit_down()
    open_file(first, image)
    first.commit(*FIRST)
    first.commit(*SECOND)
    first.dock.undo()
    data = np.array(first.labels.data)
    first.dock.shut_down()
    again = sit_down()
    open_file(again, image)
    restore(again)
    np.testing.assert_array_equal(again.labels.data, data)
    assert again.boxes == 1  # the undone commit's
    again.dock.redo()
    assert again.labels.data[130, 130] == 2
    again.commit(*FIRST)
    np.testing.assert_array_equal(again.labels.scale, again.viewer.layers[0].scale)


def test_two_windows_do_not_take_each_others_work(
    image: Path, sit_down: Callable[[], Any], qtbot: Any
) -> None:
    first, second = sit_down(), sit_down()
    open_file(first, image)
    first.commit(*FIRST)
    open_file(second, image)
    second.until(lambda: not second.dock.recovering.task.busy)
    qtbot.wait(20)
    assert bar_of(second).isHidden()


def test_discarded_work_is_gone_and_later_keeps_it(
    image: Path, folder: Path, sit_down: Callable[[], Any]
) -> None:
    first = sit_down()
    open_file(first, image)
    first.commit(*FIRST)
    first.dock.shut_down()
    (journal,) = folder.rglob("*.journal")
    for button in ("later_button", "discard_button"):
        desk = sit_down()
        open_file(desk, image)
        desk.until(lambda desk=desk: not bar_of(desk).isHidden())
        assert journal.exists()
        getattr(bar_of(desk), button).click()
        assert bar_of(desk).isHidden()
    assert not journal.exists()


def test_saved_work_is_not_offered(
    image: Path, tmp_path: Path, sit_down: Callable[[], Any], qtbot: Any
) -> None:
    first = sit_down()
    open_file(first, image)
    first.commit(*FIRST)
    first.dock.exporting.tab.export(tmp_path / "out.tif")
    first.until(lambda: not first.session.dirty)
    first.dock.shut_down()
    again = sit_down()
    open_file(again, image)
    again.until(lambda: not again.dock.recovering.task.busy)
    qtbot.wait(20)
    assert bar_of(again).isHidden()


def test_labels_that_were_there_before_come_back_with_the_steps(
    image: Path, sit_down: Callable[[], Any]
) -> None:
    first = sit_down()
    open_file(first, image)
    data = np.zeros(PICTURE.shape, dtype=np.uint16)
    data[2:9, 2:9] = 4
    first.add_labels(data)
    first.commit(*FIRST)
    expected = np.array(first.labels.data)
    first.dock.shut_down()
    again = sit_down()
    open_file(again, image)
    restore(again)
    np.testing.assert_array_equal(again.labels.data, expected)
    again.listed()
    assert set(again.session.objects) == {4, 5}


def test_labels_of_one_time_point_come_back_in_their_place(
    tmp_path: Path, sit_down: Callable[[], Any]
) -> None:
    film = np.zeros((3, 2, 200, 220), dtype=np.uint16)
    film[:, :, 40:80, 40:80] = 1000

    def open_film(desk: Any) -> None:
        desk.open(film, name="film", scale=(10, 2, 1, 1))

    first = sit_down()
    open_film(first)
    first.dock.controls.labels.time.value = "this"
    first.viewer.dims.set_current_step(0, 2)
    first.viewer.dims.set_current_step(1, 1)
    first.draw(*FIRST, 2, 1)
    first.commit()
    first.dock.shut_down()
    again = sit_down()
    open_film(again)
    restore(again)
    assert again.labels.data[0, 1, 60, 60] == 1
    np.testing.assert_array_equal(again.labels.translate, [20, 0, 0, 0])


def test_work_on_labels_kept_on_disk_comes_back(
    image: Path, sit_down: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.LARGEST_PLANE", 100**2)
    first = sit_down()
    open_file(first, image)
    first.commit(*FIRST)
    assert first.dock.layers.large(first.labels) is not None
    first.dock.shut_down()
    again = sit_down()
    open_file(again, image)
    restore(again)
    store = again.dock.layers.large(again.labels).store
    assert store.levels[0][60, 60] == 1
    again.dock.undo()
    assert not store.levels[0][:].any()


def test_a_damaged_journal_is_left_alone(
    image: Path, folder: Path, sit_down: Callable[[], Any], qtbot: Any
) -> None:
    first = sit_down()
    open_file(first, image)
    first.commit(*FIRST)
    first.dock.shut_down()
    (journal,) = folder.rglob("*.journal")
    journal.write_bytes(b"\0" * 100)
    again = sit_down()
    open_file(again, image)
    again.until(lambda: not again.dock.recovering.task.busy)
    qtbot.wait(20)
    assert bar_of(again).isHidden()
    again.commit(*FIRST)
    assert journal.exists()
