"""Keys: bound while the dock is open, and as they were before once it is closed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from app_model.types import KeyBinding
from napari.components import ViewerModel
from napari.layers import Labels, Shapes

from napari_hqsam.plugin.annotate.keys import KeyBindings
from napari_hqsam.plugin.settings import Keys, Settings

FIRST = (36, 36, 84, 84)
KEYS = asdict(Keys())


class Presses:
    """What the keys did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys = KeyBindings({name: lambda n=name: self.done.append(n) for name in KEYS})
        self.keys.use(KEYS)


def press(key: str, *providers: Any) -> None:
    from napari.utils.key_bindings import KeymapHandler

    handler = KeymapHandler()
    handler.keymap_providers = list(providers)
    handler.press_key(key)


@pytest.mark.parametrize("name", [name for name in KEYS if KEYS[name]])
def test_each_key_does_its_action_in_the_viewer_and_on_layers(name: str) -> None:
    viewer, labels, presses = ViewerModel(), Labels(np.zeros((9, 9), np.uint8)), Presses()
    presses.keys.bind(viewer)
    press(KEYS[name], viewer)
    presses.keys.bind(labels)
    press(KEYS[name], labels, viewer)
    assert presses.done == [name, name]


def test_what_was_bound_before_is_given_back() -> None:
    viewer: Any = ViewerModel()
    seen: list[str] = []
    viewer.bind_key("G", lambda _viewer: seen.append("mine"))
    before = dict(viewer.keymap)
    presses = Presses()
    presses.keys.bind(viewer)
    presses.keys.bind(viewer)  # twice is once
    press("G", viewer)
    presses.keys.unbind()
    press("G", viewer)
    press("Enter", viewer)
    assert presses.done == ["box"]
    assert seen == ["mine"]
    assert viewer.keymap == before


def test_other_keys_take_the_place_of_the_ones_before() -> None:
    viewer: Any = ViewerModel()
    presses = Presses()
    presses.keys.bind(viewer)
    presses.keys.use(KEYS | {"box": "Shift+B", "commit": ""})
    for key in ("G", "Enter", "Shift+B"):
        press(key, viewer)
    assert presses.done == ["box"]


def test_one_layer_is_let_go_and_the_others_stay() -> None:
    viewer, labels, presses = ViewerModel(), Labels(np.zeros((9, 9), np.uint8)), Presses()
    presses.keys.bind(viewer)
    presses.keys.bind(labels)
    presses.keys.unbind(labels)
    assert not labels.keymap
    press("G", labels, viewer)
    assert presses.done == ["box"]


def test_enter_ends_a_polygon_that_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, presses = Shapes(ndim=2), Presses()
    presses.keys.bind(shapes)
    ended: list[Any] = []
    naparis = {KeyBinding.from_str("Enter"): ended.append}  # as its window binds it
    monkeypatch.setattr(Shapes, "class_keymap", Shapes.class_keymap | naparis)
    press("Enter", shapes)
    assert presses.done == ["commit"]
    shapes._is_creating = True
    for key in ("Enter", "G"):
        press(key, shapes)
    assert presses.done == ["commit", "box"]
    assert ended == [shapes]
    shapes._is_creating = False


def test_the_dock_binds_them_everywhere_and_gives_them_back(desk: Any) -> None:
    desk.dock.keys.unbind()
    desk.viewer.bind_key("Shift+N", lambda _viewer: None)
    free = dict(desk.viewer.keymap)
    desk.dock.keys.bind(desk.viewer)
    image = desk.open()
    desk.press("G", image)
    prompts = desk.annotator.prompts
    assert prompts.tool == "box"
    desk.commit(*FIRST)
    labels = desk.labels
    for layer in (prompts.points, prompts.shapes, labels):
        desk.press("W", layer)
        assert prompts.tool == "positive"
        desk.press("G", layer)
        assert prompts.tool == "box"
    kept = {layer: dict(layer.keymap) for layer in (prompts.points, prompts.shapes, labels)}
    assert all(kept.values())
    desk.dock.shut_down()
    assert dict(desk.viewer.keymap) == free
    for layer in kept:
        assert not layer.keymap
    with labels.block_history():
        labels.paint((100, 100), 9)
    desk.press("Ctrl+Z", labels)  # napari's own again
    assert not (labels.data == 9).any()


def test_a_whole_object_by_keys(desk: Any) -> None:
    desk.open()
    desk.press("G")
    desk.draw(*FIRST)
    desk.wait()
    desk.press("U")
    assert not desk.dock.preview.shown
    desk.press("U")
    assert desk.dock.preview.shown
    desk.press("Q")
    assert desk.annotator.prompts.tool == "negative"
    desk.press("Q")
    assert desk.annotator.prompts.tool == "positive"
    desk.press("Enter")
    assert desk.labels.data[60, 60] == 1
    desk.draw(*FIRST)
    desk.press("Shift+C")
    assert desk.boxes == 0
    desk.press("J")
    desk.press("K")
    assert desk.session.objects[1].status in ("new", "accepted")
    desk.press("Ctrl+Z")
    desk.press("Ctrl+Shift+Z")
    desk.dock.objects.widget.select([1])
    desk.press("Shift+D")
    assert not desk.labels.data.any()


def test_keys_changed_in_preferences_take_effect(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    other = Settings(keys=replace(Keys(), box="Shift+B"))
    monkeypatch.setattr(Settings, "load", classmethod(lambda _cls: other))
    desk.dock.preferences.take()
    desk.press("G")
    assert desk.annotator.prompts is None
    desk.press("Shift+B")
    prompts = desk.annotator.prompts
    assert prompts.tool == "box"
    desk.press("W", prompts.shapes)
    desk.press("Shift+B", prompts.points)
    assert prompts.tool == "box"
    assert "Shift+B" in desk.dock.controls.prompts.buttons["box"].text()
