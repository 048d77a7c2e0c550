"""What goes wrong around the user: full disks, failing threads, windows closed too early."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hqsam.plugin.models.catalogue import catalogue

FIRST, SECOND = (36, 36, 84, 84), (116, 116, 154, 154)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of more than 100² pixels are kept on disk."""
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.LARGEST_PLANE", 100**2)


def full(*_args: Any, **_options: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_store_that_cannot_be_written_is_told_and_loses_nothing(
    small: None, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    desk.commit(*FIRST)
    large = desk.dock.layers.large(desk.labels)
    before = large.store.levels[0][:].tobytes()
    desk.draw(*SECOND)
    desk.wait()
    with monkeypatch.context() as patch:
        patch.setattr("napari_hqsam.plugin.large_labels.write_plane", full)
        desk.annotator.commit()
        assert "No space left on device" in desk.told[-1]
        assert desk.boxes == 1
        assert desk.annotator.masks
        assert list(desk.session.objects) == [1]
        assert large.store.levels[0][:].tobytes() == before
        desk.dock.undo()  # of the prompts, then of the commit, which is refused
        desk.dock.undo()
        assert "No space left on device" in desk.told[-1]
        assert large.store.levels[0][:].tobytes() == before
        desk.dock.redo()
    desk.commit()
    assert large.store.levels[0][130, 130] == 2


def test_a_journal_that_cannot_be_written_is_told_once_and_work_goes_on(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    desk.commit(*FIRST)
    monkeypatch.setattr("napari_hqsam.session.journal.Journal.append", full)
    desk.commit(*SECOND)
    told = [line for line in desk.told if "journal cannot be written" in line]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert desk.labels.data[130, 130] == 2
    desk.dock.undo()
    assert desk.labels.data[130, 130] == 0


def test_a_layer_that_refuses_a_write_keeps_prompts_and_labels(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    desk.commit(*FIRST)
    before = np.array(desk.labels.data)
    desk.draw(*SECOND)
    desk.wait()
    with monkeypatch.context() as patch:
        patch.setattr("napari_hqsam.plugin.annotate.layer_labels.LayerLabels.write", full)
        desk.annotator.commit()
    assert "No space left on device" in desk.told[-1]
    np.testing.assert_array_equal(desk.labels.data, before)
    assert desk.boxes == 1
    desk.commit()
    assert desk.labels.data[130, 130] == 2


def test_a_warning_or_error_in_the_thread_leaves_the_window_alive(
    desk: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        "napari_hqsam.plugin.engine.notification_manager.receive_error",
        lambda kind, *_: seen.append(kind.__name__),
    )
    decode = model.decode
    desk.open()
    with monkeypatch.context() as patch:

        def loud(*args: Any, **options: Any) -> Any:
            warnings.warn("the GPU is hot", RuntimeWarning, stacklevel=1)
            return decode(*args, **options)

        patch.setattr(model, "decode", loud)
        desk.draw(*FIRST)
        # here warnings are errors, as with PYTHONWARNINGS=error: the worst that can come of them
        desk.until(lambda: bool(desk.told))
    assert seen == ["RuntimeWarning"]
    assert "the GPU is hot" in desk.told[-1]
    assert desk.boxes == 1
    desk.until(lambda: not desk.dock.engine.busy)
    desk.annotator.predict()
    desk.commit()
    assert desk.labels.data[60, 60] == 1


def ours() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.gui
@pytest.mark.parametrize("how", ["dock", "viewer"])
def test_closing_while_computing_ends_the_threads(
    how: str, make_napari_viewer: Any, model: Any, until: Any, folder: Path, qtbot: Any
) -> None:
    before = ours()
    viewer = make_napari_viewer(strict_qt=True)
    place, dock = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    data = np.zeros((200, 220), dtype=np.uint16)
    data[40:80, 40:80] = 1000
    viewer.add_image(data, contrast_limits=(0, 1000))
    annotator, engine = dock.annotator, dock.engine

    def draw() -> None:
        annotator.use("box")
        corners = np.array([[36, 36], [36, 84], [84, 84], [84, 36]], dtype=float)
        annotator.prompts.shapes.add_rectangles(corners)

    draw()
    until(lambda: bool(annotator.masks) and not engine.busy)
    annotator.commit()
    journal = dock.sessions.current.journal
    labels = dock.controls.labels.labels.value
    model.seconds = 0.5
    dock.controls.image.contrast.value = "auto"  # encoded anew
    draw()
    until(lambda: model.encoded == 2)
    if how == "dock":
        viewer.window.remove_dock_widget(place)
    else:
        viewer.close()
    del place
    until(lambda: engine.closed)
    assert not engine.busy
    until(lambda: not {t for t in ours() - before if t.name in ("predict", "encode")})
    assert labels.data[60, 60] == 1
    assert journal._file.closed
    if how == "dock":  # what is left of it keeps still
        assert not viewer.keymap
        viewer.layers.remove(viewer.layers[-1])
        viewer.add_image(data)
        annotator.commit()
        qtbot.wait(100)


def test_a_closed_dock_no_longer_hears_of_new_models(dock: Any) -> None:
    heard = len(catalogue.changed)
    dock.shut_down()
    assert len(catalogue.changed) == heard - 1
