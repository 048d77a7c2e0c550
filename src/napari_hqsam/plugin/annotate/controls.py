"""All controls of the dock's first tab, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_hqsam.plugin.annotate.image_controls import ImageControls
from napari_hqsam.plugin.annotate.label_controls import LabelControls
from napari_hqsam.plugin.annotate.mask_controls import MaskControls
from napari_hqsam.plugin.annotate.prompt_controls import PromptControls
from napari_hqsam.plugin.annotate.section import Fold
from napari_hqsam.plugin.annotate.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Layer


_KEYS = {
    "commit": "commit",
    "box": "box",
    "click": "click",
    "scribble": "scribble",
    "toggle_sign": "positive / negative",
    "next_candidate": "next mask",
    "preview": "hide or show the preview",
    "clear": "clear prompts",
    "undo": "undo",
    "redo": "redo",
    "next_object": "next uncertain object",
    "accept": "accept it",
    "delete": "delete it",
    "next_image": "next image",
}


class Controls:
    """The sections, from top to bottom, and the status line below the tabs.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are offered.
    hidden : callable
        Whether a Labels layer is not offered to commit into.
    """

    def __init__(self, viewer: ViewerModel, hidden: Callable[[Layer], bool]) -> None:
        self.image = ImageControls(viewer)
        self.prompts = PromptControls()
        self.masks = MaskControls()
        self.labels = LabelControls(viewer, hidden)
        self.status = StatusLine()
        self._keys = QLabel("")
        self._keys.setToolTip("Change them in Preferences > Plugins > HQ-SAM.")

    def page(self) -> QWidget:
        """The sections as the page of a tab."""
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        sections = (self.image.native, self.prompts, self.masks.native, self.labels.native)
        for section in sections:
            layout.addWidget(section)
        layout.addWidget(Fold("Keys", self._keys))
        layout.addStretch()
        return page

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do what: `keys` as `settings.Keys` names them."""
        tools = {
            "box": keys["box"],
            "positive": keys["click"],
            "negative": keys["toggle_sign"],
            "scribble": keys["scribble"],
        }
        self.prompts.show_keys(tools)
        commit = self.labels.commit_button
        commit.text = "Commit" + (f"  {keys['commit']}" if keys["commit"] else "")
        rows = [
            f"<tr><td>{what}&nbsp;&nbsp;</td><td><b>{keys[action] or '–'}</b></td></tr>"
            for action, what in _KEYS.items()
        ]
        self._keys.setText(f"<table>{''.join(rows)}</table>")

    def reset_choices(self) -> None:
        """Offer the layers that there are now."""
        self.image.reset_choices()
        self.labels.labels.reset_choices()
