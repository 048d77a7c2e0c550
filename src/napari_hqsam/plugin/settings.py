"""What the user has set in napari's Preferences: model, device, embeddings, keys.

napari shows and keeps them, see ``configurations`` in ``napari.yaml``; here they get their types.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning

PLUGIN = "napari-hqsam"

_SECTIONS = {
    "model": "models",
    "device": "models",
    "precision": "models",
    "compile": "models",
    "folder": "embeddings",
    "limit_gb": "embeddings",
}
_SETTLED_MS = 1000
_warned: set[str] = set()


@dataclass(frozen=True)
class Keys:
    """The keys of the Annotate dock, as napari writes them; "" for none.

    All but three are free on Image, Labels, Points and Shapes layers and in the viewer. Enter also
    ends a polygon that is being drawn, and Ctrl+Z and Ctrl+Shift+Z are those of Labels layers.
    """

    commit: str = "Enter"
    clear: str = "Shift+C"
    toggle_sign: str = "Q"
    click: str = "W"
    box: str = "G"
    scribble: str = "H"
    next_candidate: str = "N"
    preview: str = "U"
    accept: str = "J"
    next_object: str = "K"
    delete: str = "Shift+D"
    next_image: str = "Shift+N"
    undo: str = "Ctrl+Z"
    redo: str = "Ctrl+Shift+Z"


@dataclass(frozen=True)
class Settings:
    """What the user has chosen.

    Attributes
    ----------
    model : str
        A name from `list_models`.
    device, precision : str
        As for `load_model`.
    folder : pathlib.Path or None
        Where embeddings of all images are kept, one store for each; None for memory only.
    limit_gb : float
        What they may take together, in 10⁹ bytes.
    keys : Keys
    compile : bool
        As for `load_model`.
    """

    model: str = "micro"
    device: str = "auto"
    precision: str = "auto"
    folder: Path | None = None
    limit_gb: float = 50.0
    keys: Keys = field(default_factory=Keys)
    compile: bool = False

    @classmethod
    def load(cls) -> Settings:
        """The settings now.

        A value that cannot be used gives one warning that names it, once, and its default; so do
        settings that napari cannot read.
        """
        try:
            found = _napari_settings().model_dump()
        except Exception as error:  # damaged files, another plugin's manifest, an older napari
            _warn(f"its settings cannot be read ({error}); the defaults are used")
            return cls()
        given = {name: found[section][name] for name, section in _SECTIONS.items()}
        return cls(
            model=_known_model(str(given["model"])),
            device=str(given["device"]).strip() or "auto",
            precision=str(given["precision"]),
            folder=_usable_folder(str(given["folder"])),
            limit_gb=float(given["limit_gb"]),
            keys=_usable_keys(found["keys"]),
            compile=bool(given["compile"]),
        )

    @staticmethod
    def change(**values: Any) -> None:
        """Set some of them, by the names of the attributes; napari writes them to the disk."""
        settings = _napari_settings()
        for name, value in values.items():
            value = "" if value is None else str(value) if isinstance(value, Path) else value
            setattr(getattr(settings, _SECTIONS[name]), name, value)

    @staticmethod
    def watch(callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when settings were changed and none was for a second.

        Preferences change them letter by letter, and half a word is no key.

        Returns
        -------
        callable
            Ends it.
        """
        from qtpy.QtCore import QTimer

        try:
            events = _napari_settings().events.changed
        except Exception:  # `load` says what is wrong
            return lambda: None
        timer = QTimer()
        timer.setSingleShot(True)
        timer.setInterval(_SETTLED_MS)
        timer.timeout.connect(callback)

        def changed(_event: Any = None) -> None:
            timer.start()

        def end() -> None:
            timer.stop()
            events.disconnect(changed)

        events.connect(changed)
        return end


def _napari_settings() -> Any:
    from napari.settings import get_plugin_settings

    return get_plugin_settings(PLUGIN)


def _known_model(name: str) -> str:
    from napari_hqsam.weights import list_models

    if name in {info.name for info in list_models()}:
        return name
    _warn(f"setting Model: {name!r} is not known here; {Settings.model} is used")
    return Settings.model


def _usable_folder(text: str) -> Path | None:
    if not text.strip():
        return None
    folder = Path(text.strip()).expanduser()
    if folder.is_absolute() and (folder.is_dir() or not folder.exists()):
        return folder
    _warn(f"setting Folder: {text!r} is no folder with its full path; embeddings stay in memory")
    return None


def _usable_keys(given: dict[str, str]) -> Keys:
    """The keys given; the default where one is no key, or is another's already."""
    chosen = asdict(Keys())
    for each in fields(Keys):
        text = given[each.name].strip()
        key = _normal(text)
        if key is None:
            _warn(f"setting {each.name}: {text!r} is no key; {each.default} is used")
            key = str(each.default)
        chosen[each.name] = key
    for each in fields(Keys):
        same = [name for name, key in chosen.items() if key and key == chosen[each.name]]
        if len(same) > 1:
            _warn(
                f"setting {same[1]}: {chosen[same[1]]} is the key of {same[0]} already; it has none"
            )
            chosen |= dict.fromkeys(same[1:], "")
    return Keys(**{name: _for_this_system(key) for name, key in chosen.items()})


def _normal(text: str) -> str | None:
    """A key as napari writes it, "" for none; None if it is no key."""
    from app_model.types import KeyBinding, KeyCode

    if not text:
        return ""
    try:
        parts = KeyBinding.from_str(text).parts
    except (IndexError, ValueError, KeyError):
        return None
    modifiers = (KeyCode.Ctrl, KeyCode.Shift, KeyCode.Alt, KeyCode.Meta, KeyCode.UNKNOWN)
    return str(parts[0]) if len(parts) == 1 and parts[0].key not in modifiers else None


def _for_this_system(key: str) -> str:
    """Ctrl stands for the command key on a Mac, as in napari's own keys."""
    return key.replace("Ctrl+", "Meta+") if sys.platform == "darwin" else key


def _warn(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        show_warning(f"HQ-SAM: {text}")
