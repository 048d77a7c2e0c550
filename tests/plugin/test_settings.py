"""What the user has set in Preferences, and what becomes of values that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from app_model.types import KeyBinding
from npe2 import PluginManifest

from napari_hqsam.plugin import settings as module
from napari_hqsam.plugin.settings import Keys, Settings

PLUGIN = "napari-hqsam"
MANIFEST = Path(module.__file__).parents[1] / "napari.yaml"


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The warnings."""
    found: list[str] = []
    monkeypatch.setattr(module, "show_warning", found.append)
    monkeypatch.setattr(module, "_warned", set())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(tmp_path / "data"))
    return found


@pytest.fixture
def napari_settings(plugin_settings: Any, npe2pm: Any) -> Any:
    """napari's own model of them, in a folder of the test."""
    from napari.settings import get_plugin_settings

    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return get_plugin_settings(PLUGIN)


def file(tmp_path: Path) -> Path:
    return tmp_path / f"{PLUGIN}.yaml"


def test_preferences_begin_with_the_defaults(napari_settings: Any, said: list[str]) -> None:
    assert Settings.load() == Settings()
    assert said == []


def test_what_is_set_is_kept(napari_settings: Any, said: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "all embeddings"
    Settings.change(precision="bfloat16", device="cpu", compile=True, folder=folder, limit_gb=3)
    Settings.change(model="vit_b")
    napari_settings.keys.commit = "F5"
    expected = Settings("vit_b", "cpu", "bfloat16", folder, 3.0, Keys(commit="F5"), True)
    assert Settings.load() == expected
    assert "precision: bfloat16" in file(tmp_path).read_text()
    Settings.change(folder=None)
    assert Settings.load().folder is None
    assert said == []


@pytest.mark.parametrize("text", ["\x00", "keys: [", "- a list", "3", "keys: 3\nmodels: {x: y}"])
def test_damaged_settings_do_not_stop_the_dock(
    text: str, plugin_settings: Any, npe2pm: Any, tmp_path: Path, said: list[str]
) -> None:
    file(tmp_path).write_text(text)
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    assert Settings.load() == Settings()
    Settings.watch(lambda: None)()


@pytest.mark.parametrize(
    ("section", "name", "value", "default"),
    [
        ("models", "model", "resnet", "micro"),
        ("embeddings", "folder", "here/there", None),
        ("embeddings", "folder", __file__, None),
        ("keys", "box", "Foo", "G"),
        ("keys", "box", "Shift", "G"),
        ("keys", "box", "Ctrl+K Ctrl+C", "G"),
        ("keys", "box", "Ctrl+", "G"),
    ],
)
def test_a_wrong_value_gives_one_line_that_names_it(
    section: str, name: str, value: str, default: Any, napari_settings: Any, said: list[str]
) -> None:
    setattr(getattr(napari_settings, section), name, value)
    found = Settings.load()
    assert getattr(found.keys if section == "keys" else found, name) == default
    assert len(said) == 1
    assert name in said[0].lower()
    assert value in said[0]
    assert "\n" not in said[0]
    Settings.load()
    assert len(said) == 1, "it is said once"


def test_a_model_that_was_removed(napari_settings: Any, said: list[str]) -> None:
    Settings.change(model="neurons")
    assert Settings.load().model == "micro"
    assert "'neurons' is not known here" in said[0]


def test_keys_as_people_write_them(napari_settings: Any, said: list[str]) -> None:
    napari_settings.keys.update({"box": " b ", "undo": "ctrl-shift-u", "click": "", "commit": "."})
    keys = Settings.load().keys
    assert (keys.box, keys.undo, keys.click, keys.commit) == ("B", "Ctrl+Shift+U", "", ".")
    assert said == []


def test_a_key_is_given_once(napari_settings: Any, said: list[str]) -> None:
    napari_settings.keys.update({"scribble": "w", "redo": "W"})
    keys = Settings.load().keys
    assert (keys.click, keys.scribble, keys.redo) == ("W", "", "")
    assert said == ["HQ-SAM: setting scribble: W is the key of click already; it has none"]


def test_ctrl_is_the_command_key_on_a_mac(
    napari_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Settings.load().keys.redo == "Meta+Shift+Z"


def test_the_manifest_and_the_code_agree() -> None:
    given = PluginManifest.from_file(MANIFEST).contributions.configurations["keys"].properties
    assert {name: p.default for name, p in given.items()} == asdict(Keys())
    assert list(given) == [each.name for each in fields(Keys)]


@pytest.mark.gui
def test_no_key_is_taken_from_napari(make_napari_viewer: Callable[..., Any]) -> None:
    """Only where it means the same there, or ends what is being drawn."""
    from napari._app_model import get_app_model
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes
    from napari.utils.shortcuts import default_shortcuts

    make_napari_viewer()
    owned = {
        str(key): name
        for cls in (Image, Labels, Points, Shapes, ViewerModel)
        for key, function in cls.class_keymap.items()
        for name in [f"{cls.__name__} {getattr(function, '__name__', function)}"]
    }
    owned |= {
        str(key): name
        for name, keys in default_shortcuts.items()
        for key in keys
        if not any(kind in name for kind in ("surface", "tracks", "vectors"))
    }
    owned |= {str(k.keybinding): k.command_id for k in get_app_model().keybindings}
    ours = {str(KeyBinding.from_str(key)): name for name, key in asdict(Keys()).items()}
    assert {"S", "T", "C", "P", "Z"} <= set(owned)
    assert {ours[key] for key in set(ours) & set(owned)} == {"commit", "undo", "redo"}


@pytest.mark.gui
def test_changes_are_told_once_they_have_settled(
    napari_settings: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SETTLED_MS", 30)
    seen: list[str] = []
    end = Settings.watch(lambda: seen.append(Settings.load().keys.box))
    for text in ("S", "Sh", "Shift+", "Shift+B"):
        napari_settings.keys.box = text
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == ["Shift+B"]
    end()
    napari_settings.keys.box = "B"
    qtbot.wait(60)
    assert seen == ["Shift+B"]
