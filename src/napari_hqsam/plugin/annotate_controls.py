"""What the Annotate dock looks like; what it does is in `annotate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    ComboBox,
    Container,
    Label,
    ProgressBar,
    PushButton,
    RadioButtons,
    SpinBox,
)
from napari.layers import Image, Labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

MODES = {"HQ + SAM": "hq+sam", "HQ only": "hq", "SAM only": "sam"}
HINT = "Draw a box around an object, or click on it."


class AnnotateControls:
    """The controls from top to bottom, and what they show while something is computed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are offered.
    hidden : callable
        Whether a Labels layer is not offered: the preview is none to commit into.
    """

    def __init__(self, viewer: ViewerModel, hidden: Callable[[Layer], bool]) -> None:
        def images(_widget: Any) -> list[Image]:
            return [layer for layer in viewer.layers if isinstance(layer, Image)]

        def labels(_widget: Any) -> list[Labels]:
            found = [layer for layer in viewer.layers if isinstance(layer, Labels)]
            return [layer for layer in found if not hidden(layer)]

        self.image = ComboBox(label="Image", choices=images)
        self.model = ComboBox(label="Model", choices=_model_choices, value="micro")
        self.device = Label(label="Device", value="chosen when the model is loaded")
        self.mode: Any = RadioButtons(
            label="Boundary", choices=list(MODES), orientation="horizontal"
        )
        self.mode.value = next(iter(MODES))
        self.box_button = PushButton(text="Box")
        self.positive_button = PushButton(text="+ Click")
        self.negative_button = PushButton(text="− Click")
        self.labels = ComboBox(label="Labels", choices=labels, nullable=True)
        self.next_label = SpinBox(label="Next label", value=1, min=1, max=2**31 - 1)
        self.commit_button = PushButton(text="Commit (Enter)")
        self.clear_button = PushButton(text="Clear prompts")
        self.undo_button = PushButton(text="Undo commit", enabled=False)
        self.status = Label(value=HINT)
        self.progress = ProgressBar(visible=False, max=0)
        self.cancel_button = PushButton(text="Cancel", visible=False)
        self._all = Container(
            widgets=[
                Container(widgets=[self.image, self.model, self.device, self.mode]),
                _row(self.box_button, self.positive_button, self.negative_button),
                Container(widgets=[self.labels, self.next_label]),
                _row(self.commit_button),
                _row(self.clear_button, self.undo_button),
                _row(self.status),
                _row(self.progress, self.cancel_button),
            ],
            labels=False,
        )
        self.status.native.setWordWrap(True)
        self._explain()

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    def reset_choices(self) -> None:
        """Offer the layers that there are now."""
        self.image.reset_choices()
        self.labels.reset_choices()

    def show_busy(self, busy: bool) -> None:
        """Show or hide the progress bar and its Cancel button."""
        self.progress.visible = self.cancel_button.visible = busy
        if not busy and str(self.status.value).endswith("…"):
            self.status.value = HINT

    def show_stage(self, text: str, done: int, total: int) -> None:
        """Say what is computed now; bytes done of a total, or 0 if that is not known."""
        self.progress.max = 1000 if total else 0
        self.progress.value = round(1000 * done / total) if total else 0
        share = f" {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        self.status.value = text.removesuffix("…") + share + "…"

    def _explain(self) -> None:
        self.image.tooltip = "The image to segment. Its contrast limits are what the model sees."
        self.model.tooltip = "micro comes with the plugin; the others are downloaded on first use."
        self.mode.tooltip = "Whose boundary: HQ-SAM's sum, the HQ token alone, or plain SAM."
        self.box_button.tooltip = "Draw boxes: each one is an object."
        self.positive_button.tooltip = "Click on the object."
        self.negative_button.tooltip = "Click on what does not belong to the object."
        self.labels.tooltip = "Where objects go; ----- makes a new layer."
        self.commit_button.tooltip = "Keep the preview as objects of the Labels layer."
        self.undo_button.tooltip = "Take the last commit back."
        self.clear_button.tooltip = "Remove the prompts on this plane."


def _row(*widgets: Any) -> Container:
    return Container(widgets=list(widgets), layout="horizontal", labels=False)


def _model_choices(_widget: Any) -> list[tuple[str, str]]:
    from napari_hqsam.weights import list_models

    return [
        (i.name if i.installed else f"{i.name} (download {(i.bytes or 0) / 1e6:.0f} MB)", i.name)
        for i in list_models()
    ]
