"""The Models dock: what it lists, and what its buttons do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from npe2 import PluginManifest
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_hqsam.embedding.folder import folder_status, store_path
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.modeling import HQSam, build
from napari_hqsam.plugin.loader import Loader
from napari_hqsam.plugin.models import ModelsWidget, jobs, timing
from napari_hqsam.plugin.models.catalogue import catalogue
from napari_hqsam.plugin.models.rows import Row
from napari_hqsam.plugin.models.timing import Timing, measure, remember, remembered
from napari_hqsam.plugin.request import Subject
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.task import Reporter, Task
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.weights import (
    DownloadCancelled,
    add_model,
    list_models,
    model_info,
    save_model,
)

pytestmark = pytest.mark.gui

MANIFEST = Path(jobs.__file__).parents[2] / "napari.yaml"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_HQSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is shown to the user beside the dock."""
    found: list[str] = []
    for name in ("show_info", "show_warning"):
        monkeypatch.setattr(f"napari_hqsam.plugin.models.widget.{name}", found.append)
    return found


@pytest.fixture
def dock(
    qtbot: Any, plugin_settings: Any, npe2pm: Any, said: list[str], until: Callable[..., None]
) -> Iterator[Callable[[], ModelsWidget]]:
    """Open the dock; once it knows the computer."""
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    opened: list[ModelsWidget] = []

    def make() -> ModelsWidget:
        widget = ModelsWidget()
        qtbot.addWidget(widget)
        opened.append(widget)
        until(lambda: widget.device.computer is not None and not widget.device._task.busy)
        return widget

    yield make
    for widget in opened:
        widget.shut_down()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> HQSam:
    """The real network with random weights, in place of every model that is loaded."""
    torch.manual_seed(0)
    model = build("micro", input_size=64)
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *_args, **_options: model)
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(build("micro"), tmp_path_factory.mktemp("own") / "best.safetensors")


def column(widget: ModelsWidget, number: int) -> list[str]:
    table = widget.table
    return [table.item(line, number).text() for line in range(table.rowCount())]


def answer(monkeypatch: pytest.MonkeyPatch, file: Path, name: str | None = None) -> None:
    """What the user says when asked for a file and a name; None takes the name suggested."""
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a, **_k: (str(file), ""))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_a, text, **_k: (name or text, True))


# What is said of a model


def test_a_row_says_what_is_here() -> None:
    micro, big = model_info("micro"), model_info("vit_h")
    row = Row(micro, default=True, timing=Timing(0.416, 0.0234, 512))
    assert row.cells[:5] == ("★ micro", "16 MB", "yes", "0.42 s", "Apache-2.0")
    assert "512 × 512 pixels, 23 ms for a prompt" in row.details
    assert micro.trained_on in row.details
    assert Row(big).cells[:4] == ("vit_h", "2.6 GB", "no", "")


def test_a_checkpoint_that_has_moved_says_so(tmp_path: Path) -> None:
    file = tmp_path / "best.pth"
    file.write_bytes(b"12345")
    info = replace(model_info("micro"), name="own", added=file, bytes=5)
    assert Row(info).here == "yes"
    file.write_bytes(b"123")
    assert Row(info).here == "changed"
    file.unlink()
    assert Row(info).here == "moved"
    assert "no longer there: remove the model" in Row(info).details


# How long a window takes


def test_a_timing_is_remembered_for_weights_device_and_precision() -> None:
    remember(Timing(0.5, 0.01, 512), "ab" * 32, "Some GPU", "float32")
    remember(Timing(0.2, 0.01, 512), "ab" * 32, "Some GPU", "bfloat16")
    assert remembered("ab" * 32, "Some GPU", "float32") == Timing(0.5, 0.01, 512)
    assert remembered("ab" * 32, "Some GPU", "bfloat16") == Timing(0.2, 0.01, 512)
    assert remembered("cd" * 32, "Some GPU", "float32") is None
    assert remembered("ab" * 32, "Other GPU", "float32") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"%s": 3}', '{"%s": {"encode": "x"}}'])
def test_damaged_timings_are_none(text: str, folders: Path) -> None:
    remember(Timing(0.5, 0.01, 512), "ab", "cpu", "float32")
    file = folders / "data" / "timings.json"
    (key,) = json.loads(file.read_text())
    file.write_text(text.replace("%s", key))
    assert remembered("ab", "cpu", "float32") is None
    remember(Timing(0.5, 0.01, 512), "ab", "cpu", "float32")
    assert remembered("ab", "cpu", "float32") is not None


def test_a_folder_that_cannot_be_written_remembers_nothing(folders: Path) -> None:
    (folders / "data").write_text("a file in its place")
    remember(Timing(0.5, 0.01, 512), "ab", "cpu", "float32")
    assert remembered("ab", "cpu", "float32") is None


def test_one_encode_and_one_decode_are_timed(small: HQSam) -> None:
    found = measure(small)
    assert 0 < found.decode < 5
    assert 0 < found.encode < 5
    assert found.input_size == 64
    plain = build("micro", input_size=64, hq=False)
    assert measure(plain).decode > 0

    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        measure(small, stop)


def test_the_dock_opens_before_torch_is_loaded() -> None:
    code = "import sys; import napari_hqsam.plugin.models; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


# One job in a thread


def test_a_job_runs_elsewhere_and_ends_here(qtbot: Any) -> None:
    task, seen = Task(), []
    task.done.connect(lambda result: seen.append((result, threading.current_thread())))

    def work(report: Reporter) -> int:
        assert threading.current_thread() is not threading.main_thread()
        report.progress(5_000_000_000, 6_000_000_000)
        return 7

    with qtbot.waitSignals([task.ended, task.progress]) as signals:
        assert task.start(work)
        assert not task.start(work), "one at a time"
    assert signals.all_signals_and_args[0].args == (5_000_000_000, 6_000_000_000)
    assert seen == [(7, threading.main_thread())]
    assert not task.busy


def test_a_refusal_is_one_line_and_a_fault_is_reported(qtbot: Any, monkeypatch: Any) -> None:
    task, told, faults = Task(), [], []
    task.failed.connect(told.append)
    monkeypatch.setattr(
        "napari_hqsam.plugin.task.notification_manager.receive_error",
        lambda *error: faults.append(error[1]),
    )
    for error in (HQSAMError("x.pth: no such file"), ZeroDivisionError("a bug")):

        def work(_report: Reporter, error: Exception = error) -> None:
            raise error

        with qtbot.waitSignal(task.ended):
            task.start(work)
    assert told == ["x.pth: no such file", "ZeroDivisionError: a bug"]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


def wait_for_cancel(report: Reporter) -> None:
    while True:
        report.check()
        time.sleep(0.005)


def test_a_cancelled_job_ends_without_a_word(qtbot: Any) -> None:
    task, told = Task(), []
    task.failed.connect(told.append)
    task.done.connect(told.append)
    with qtbot.waitSignal(task.ended):
        task.start(wait_for_cancel)
        task.cancel()
    assert told == []


def test_closing_ends_the_thread(qtbot: Any) -> None:
    task, told = Task(), []
    task.ended.connect(lambda: told.append("ended"))
    task.start(wait_for_cancel)
    thread = task._thread
    task.close()
    assert thread is not None
    assert not thread.is_alive()
    assert not task.start(wait_for_cancel)
    qtbot.wait(30)
    assert told == []


# The dock


def test_it_lists_all_models(dock: Any) -> None:
    widget = dock()
    assert column(widget, 0) == ["★ micro", "vit_tiny", "vit_b", "vit_l", "vit_h"]
    assert column(widget, 2) == ["yes", "no", "no", "no", "no"]
    assert widget.table.chosen.info.name == "micro"
    assert "microscopy" in widget.details.text()
    assert (widget.download.isEnabled(), widget.time.isEnabled()) == (False, True)
    widget.table.select("vit_b")
    assert "HQSeg-44K" in widget.details.text()
    assert (widget.download.isEnabled(), widget.time.isEnabled()) == (True, False)
    assert not widget.remove.isEnabled()


def test_a_download_shows_how_far_it_is_and_can_be_cancelled(
    dock: Any, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    go_on = threading.Event()

    def fetch(info: Any, *, progress: Any, cancelled: Any) -> Path:
        progress(info.bytes // 2, info.bytes)
        while not go_on.is_set():
            if cancelled():
                raise DownloadCancelled("cancelled")
            time.sleep(0.005)
        info.path.parent.mkdir(parents=True)
        with info.path.open("wb") as file:
            file.truncate(info.bytes)
        return info.path

    monkeypatch.setattr("napari_hqsam.weights.fetch", fetch)
    changes: list[str] = []
    catalogue.changed.connect(note := lambda: changes.append("changed"))
    widget = dock()
    widget.show()
    widget.table.select("vit_h")
    widget.download.click()
    until(lambda: widget.bar.value() == 500)
    assert "1,285 of 2,571 MB" in widget.status.text()
    assert widget.cancel.isVisible()
    assert not widget.add.isEnabled()
    widget.cancel.click()
    until(lambda: not widget._task.busy)
    assert "cancelled" in widget.status.text()
    assert not widget.cancel.isVisible()
    assert column(widget, 2)[4] == "no"
    assert changes == []
    go_on.set()
    widget.download.click()
    until(lambda: not widget._task.busy)
    assert column(widget, 2)[4] == "yes"
    assert changes == ["changed"]
    assert widget.table.chosen.info.name == "vit_h"
    catalogue.changed.disconnect(note)


def test_a_failed_download_is_one_line(
    dock: Any, monkeypatch: pytest.MonkeyPatch, until: Any, said: list[str]
) -> None:
    def fetch(*_args: Any, **_options: Any) -> None:
        raise HQSAMError("model 'vit_b' needs a download, and the server cannot be reached")

    monkeypatch.setattr("napari_hqsam.weights.fetch", fetch)
    widget = dock()
    widget.table.select("vit_b")
    widget.start_download()
    until(lambda: not widget._task.busy)
    assert "cannot be reached" in widget.status.text()
    assert said == ["HQ-SAM: " + widget.status.text()]
    assert widget.download.isEnabled()


def test_a_checkpoint_is_checked_added_used_and_removed(
    dock: Any, weights: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    widget = dock()
    answer(monkeypatch, weights)
    widget.add.click()
    until(lambda: not widget._task.busy)
    assert column(widget, 0)[-1] == "best"
    assert [info.name for info in list_models()][-1] == "best"
    assert widget.table.chosen.info.name == "best"
    widget.default.click()
    assert Settings.load().model == "best"
    assert column(widget, 0)[0] == "micro"
    assert column(widget, 0)[-1] == "★ best"
    widget.remove.click()
    assert column(widget, 0) == ["★ micro", "vit_tiny", "vit_b", "vit_l", "vit_h"]
    assert Settings.load().model == "micro"
    assert weights.is_file()


@pytest.mark.parametrize("name", ["vit_b", "own"])
def test_a_refused_checkpoint_changes_nothing(
    name: str, dock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    widget = dock()
    before = list_models()
    bad = tmp_path / "page.pth"
    bad.write_text("<html>")
    answer(monkeypatch, bad, name)
    widget.add_checkpoint()
    until(lambda: not widget._task.busy)
    assert ("taken by a model" if name == "vit_b" else "web page") in widget.status.text()
    assert "\n" not in widget.status.text()
    assert list_models() == before
    assert widget.table.rowCount() == 5


def test_no_file_no_checkpoint(dock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = dock()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a, **_k: ("", ""))
    widget.add_checkpoint()
    assert not widget._task.busy


def test_a_checkpoint_gone_from_its_place_is_shown(dock: Any, weights: Path) -> None:
    copy = weights.with_name("copy.safetensors")
    copy.write_bytes(weights.read_bytes())
    add_model(copy, "copy")
    copy.unlink()
    widget = dock()
    assert column(widget, 2)[-1] == "moved"
    widget.table.select("copy")
    assert (widget.time.isEnabled(), widget.remove.isEnabled()) == (False, True)
    assert not widget.default.isEnabled()


def test_a_timing_is_shown_and_there_the_next_day(dock: Any, small: HQSam, until: Any) -> None:
    widget = dock()
    assert column(widget, 3)[0] == ""
    widget.time.click()
    until(lambda: not widget._task.busy)
    shown = column(widget, 3)[0]
    assert shown.endswith(" s")
    assert "64 × 64 pixels" in widget.details.text()
    small.encode = None  # type: ignore[assignment, method-assign]
    assert column(dock(), 3)[0] == shown


def test_the_device_is_named_or_why_there_is_none(
    dock: Any, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    widget = dock()
    assert widget.device.said.text().startswith("CPU: ")
    assert "Encoder: float32" in widget.device.said.text()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    other = dock()
    assert other.device.said.text() == "GPU: Some GPU. Encoder: bfloat16."
    names = [other.device.device.itemData(i) for i in range(other.device.device.count())]
    assert names == ["auto", "cuda:0", "cpu"]


def test_device_and_precision_are_kept(dock: Any, until: Any) -> None:
    widget = dock()
    widget.device.device.setCurrentIndex(widget.device.device.findData("cpu"))
    widget.device.precision.setCurrentIndex(widget.device.precision.findData("bfloat16"))
    widget.device.device.activated.emit(0)
    until(lambda: "bfloat16" in widget.device.said.text())
    assert (Settings.load().device, Settings.load().precision) == ("cpu", "bfloat16")
    again = dock()
    assert again.device.device.currentData() == "cpu"
    assert again.device.precision.currentData() == "bfloat16"


def test_compiling_is_kept_and_timed_as_such(
    dock: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = dock()
    assert not widget.device.compile.isChecked()
    widget.device.compile.click()
    until(lambda: widget.device.said.text().endswith("Encoder: float32, compiled if faster."))
    assert Settings.load().compile
    asked: list[object] = []

    def load(*_: object, compile: bool, **__: object) -> None:
        asked.append(compile)
        raise HQSAMError("far enough")

    monkeypatch.setattr("napari_hqsam.weights.load_model", load)
    widget.table.select("micro")
    widget.start_timing()
    until(lambda: widget.status.text() == "far enough")
    assert asked == [True]
    again = dock()
    assert again.device.compile.isChecked()
    again.device.compile.click()
    until(lambda: not Settings.load().compile)


def test_docks_load_it_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once for each choice."""
    asked: list[object] = []
    monkeypatch.setattr(
        "napari_hqsam.weights.load_model", lambda *_, compile, **__: asked.append(compile)
    )
    loader = Loader(lambda *_: None, lambda: False)
    for compile in (False, True, True):
        source = open_image(np.zeros((8, 8), np.uint8))
        loader._model(Subject(source, ((0, 255),), "micro", compile=compile))
    assert asked == [False, True]


def test_what_is_compiled_is_timed_then(small: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Compiled:
        def __call__(self, images: torch.Tensor, between: Any) -> Any:
            done.append("encoded")
            return small.image_encoder(images, between)

        def wait(self, check: Any) -> None:
            check()
            done.append("waited")

    monkeypatch.setattr(small, "compiled", Compiled())
    monkeypatch.setattr("napari_hqsam.plugin.models.timing._LONG", 0.0)
    measure(small)
    assert done == ["encoded", "waited", "encoded"]


def test_a_device_that_is_not_here_is_told(dock: Any) -> None:
    Settings.change(device="cuda:7")
    widget = dock()
    assert "'cuda:7' cannot be used here" in widget.device.said.text()
    assert widget.device.device.currentData() == "cuda:7"


def fill(folder: Path, model: HQSam, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 150), np.uint8)
    with Segmenter(pixels, model=model) as plain:
        path = store_path(folder, plain.source, name)
    with Segmenter(pixels, model=model, store=path) as segmenter:
        list(segmenter.embed())


def test_the_folder_says_what_it_takes_and_is_freed(
    dock: Any, small: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    folder = tmp_path / "embeddings"
    for name in ("a", "b"):
        fill(folder, small, name)
    before = folder_status(folder)
    assert before.stores == 2
    panel = (widget := dock()).embeddings
    assert not panel.free.isEnabled()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_a: str(folder))
    panel.browse.click()
    until(lambda: "used" in panel.used.text())
    assert Settings.load().folder == folder
    assert panel.used.text() == f"0.00 of 50 GB used: {before.windows} windows of 2 images"
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *_a: (before.bytes / 2 / 1e9, True))
    panel.free.click()
    until(lambda: not panel._task.busy and "used" in panel.used.text())
    after = folder_status(folder)
    assert 0 < after.windows < before.windows
    assert f"{after.windows} window" in panel.used.text()
    panel.limit.setValue(0)
    panel.limit.editingFinished.emit()
    assert Settings.load().limit_gb == 0
    assert "over the limit" in panel.used.text()
    panel.folder.setText("")
    panel.folder.editingFinished.emit()
    assert (Settings.load().folder, panel.used.text()) == (None, "")
    widget.shut_down()


def test_what_preferences_change_is_shown(
    dock: Any, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr("napari_hqsam.plugin.settings._SETTLED_MS", 10)
    widget = dock()
    Settings.change(model="vit_tiny", limit_gb=7)
    until(lambda: column(widget, 0)[1] == "★ vit_tiny")
    assert widget.embeddings.limit.value() == 7


def test_the_dock_is_closed_while_it_works(make_napari_viewer: Any, until: Any) -> None:
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Models")
    widget._start("Waiting", wait_for_cancel, lambda _: None)
    thread = widget._task._thread
    viewer.window.remove_dock_widget(dock)
    assert widget._closed
    assert not thread.is_alive()
    assert timing.remembered(None, "cpu", "float32") is None
