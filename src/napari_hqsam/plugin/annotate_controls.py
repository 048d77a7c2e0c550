"""What the Annotate dock looks like; what it does is in `annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    Label,
    ProgressBar,
    PushButton,
    RadioButtons,
    SpinBox,
)
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_hqsam.modeling import Mode
    from napari_hqsam.plugin.large_labels import LargeLabels
    from napari_hqsam.plugin.prompt_layers import Tool
    from napari_hqsam.segmentation import Mask

MODES: dict[str, Mode] = {"HQ + SAM": "hq+sam", "HQ only": "hq", "SAM only": "sam"}
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
        self.green = ComboBox(label="+ Green", choices=images, nullable=True)
        self.blue = ComboBox(label="+ Blue", choices=images, nullable=True)
        self.contrast_button = PushButton(text="Use the contrast on display", visible=False)
        self.model = ComboBox(label="Model", choices=_model_choices, value="micro")
        self.device = Label(label="Device", value="chosen when the model is loaded")
        self.mode: Any = RadioButtons(
            label="Boundary", choices=list(MODES), orientation="horizontal"
        )
        self.mode.value = next(iter(MODES))
        self.box_button = PushButton(text="Box")
        self.positive_button = PushButton(text="+ Click")
        self.negative_button = PushButton(text="− Click")
        self.ahead = CheckBox(text="Encode ahead")
        self.show_ready = CheckBox(text="Show what is ready", value=True)
        self.pause: Any = CheckBox(text="Pause")
        self.ahead_status = Label(value="")
        self.store = FileEdit(
            label="Embeddings", mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True
        )
        self.labels = ComboBox(label="Labels", choices=labels, nullable=True)
        self.kept = Label(value="", visible=False)
        self.next_label = SpinBox(label="Next label", value=1, min=1, max=2**31 - 1)
        self.commit_button = PushButton(text="Commit (Enter)")
        self.clear_button = PushButton(text="Clear prompts")
        self.undo_button = PushButton(text="Undo", enabled=False)
        self.status = Label(value=HINT)
        self.progress = ProgressBar(visible=False, max=0)
        self.cancel_button = PushButton(text="Cancel", visible=False)
        self._all = Container(
            widgets=[
                Container(widgets=[self.image, self.green, self.blue]),
                self.contrast_button,
                Container(widgets=[self.model, self.device, self.mode]),
                _row(self.ahead, self.show_ready),
                _row(self.ahead_status, self.pause),
                Container(widgets=[self.store]),
                _row(self.box_button, self.positive_button, self.negative_button),
                Container(widgets=[self.labels, self.next_label]),
                self.kept,
                _row(self.commit_button),
                _row(self.clear_button, self.undo_button),
                self.status,
                _row(self.progress, self.cancel_button),
            ],
            labels=False,
        )
        for text in (self.status, self.kept, self.ahead_status):
            text.native.setWordWrap(True)
        # A word-wrapped label does not ask for the height of its lines, at others' expense.
        line = self.status.native.fontMetrics().lineSpacing()
        self.status.min_height, self.kept.min_height, self.mode.min_height = (
            4 * line,
            2 * line,
            3 * line,
        )
        self.status.native.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.reset_choices()
        self._explain()

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    def reset_choices(self) -> None:
        """Offer the layers that there are now."""
        for box in (self.image, self.green, self.blue):
            box.reset_choices()
        self.green.visible = self.blue.visible = len(self.image.choices) > 1
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

    @property
    def more_channels(self) -> list[Image]:
        """The layers chosen beside the image."""
        return [box.value for box in (self.green, self.blue) if box.value is not None]

    @property
    def store_folder(self) -> Path | None:
        """The folder chosen for embeddings, if it is there: half a typed name is none."""
        name = str(self.store.value or "")
        return Path(name) if name not in ("", ".") and Path(name).is_dir() else None

    @property
    def tools(self) -> dict[Tool, PushButton]:
        """The button of each tool."""
        return {
            "box": self.box_button,
            "positive": self.positive_button,
            "negative": self.negative_button,
        }

    def allow_undo(self, allowed: bool) -> None:
        """There is something to take back, or nothing."""
        self.undo_button.enabled = allowed

    @property
    def mode_name(self) -> Mode:
        """The boundary chosen, as `Segmenter` calls it."""
        return MODES[str(self.mode.value)]

    def show_device(self) -> None:
        """Say what computes, once something has been."""
        from napari_hqsam.modeling import describe_device

        self.device.value = describe_device()

    def show_masks(self, masks: Sequence[Mask]) -> None:
        """Say what was found."""
        found = [m for m in masks if m.area]
        if not found:
            self.status.value = "No object found there: try a box, or another click."
            return
        scores = ", ".join(f"{m.score:.2f}" for m in found[:3])
        objects = "1 object" if len(found) == 1 else f"{len(found)} objects"
        self.status.value = f"{objects}, {sum(m.area for m in found)} px, score {scores}"

    def show_committed(self, first: int, count: int, layer: str) -> None:
        """Say what was committed, and go on with the next number."""
        self.next_label.value = first + count
        what = f"object {first}" if count == 1 else f"objects {first}–{first + count - 1}"
        self.status.value = f"Committed {what} to {layer}."

    def show_ahead(
        self, done: int, total: int, *, watching: bool, paused: bool, error: Exception | None
    ) -> None:
        """Say how many of the windows in view and around it are encoded."""
        self.pause.enabled = watching
        if error is not None:
            text = f"Encoding ahead failed: {error}"
        elif not watching:
            text = ""
        elif total == 0 or done == total:
            text = "All in view is ready"
        else:
            text = f"{done} of {total} windows ready" + (", paused" if paused else "")
        if self.ahead_status.value != text:
            self.ahead_status.value = text

    def show_large(self, large: LargeLabels | None) -> None:
        """Say where labels are kept that are too large for one layer, and whether to paint here."""
        self.kept.visible = large is not None
        if large is not None:
            here = "" if large.close_by else " Zoom in to paint."
            self.kept.value = f"On disk: {large.store.path.name}.{here}"
            self.kept.tooltip = str(large.store.path)

    def _explain(self) -> None:
        self.image.tooltip = "The image to segment, with the contrast that it has at first."
        self.green.tooltip = "Another channel of it, seen as green; the image is red then."
        self.blue.tooltip = "A third channel, seen as blue."
        self.contrast_button.tooltip = "The model still sees the contrast from before."
        self.model.tooltip = "micro comes with the plugin; the others are downloaded on first use."
        self.mode.tooltip = "Whose boundary: HQ-SAM's sum, the HQ token alone, or plain SAM."
        self.box_button.tooltip = "Draw boxes: each one is an object."
        self.positive_button.tooltip = "Click on the object."
        self.negative_button.tooltip = "Click on what does not belong to the object."
        self.ahead.tooltip = "Encode what you look at before you click on it."
        self.show_ready.tooltip = "Outline where a click is answered at once."
        self.pause.tooltip = "Encode nothing ahead for now; clicks are answered all the same."
        self.store.tooltip = (
            "A folder that keeps what is encoded, for the next time; `napari-hqsam embed` fills it "
            "overnight. None: kept in memory only."
        )
        self.labels.tooltip = "Where objects go; ----- makes a new layer."
        self.commit_button.tooltip = "Keep the preview as objects of the Labels layer."
        self.undo_button.tooltip = "Take the last commit back, or the last stroke of large labels."
        self.clear_button.tooltip = "Remove the prompts on this plane."


def _row(*widgets: Any) -> Container:
    return Container(widgets=list(widgets), layout="horizontal", labels=False)


def _model_choices(_widget: Any) -> list[tuple[str, str]]:
    from napari_hqsam.weights import list_models

    return [
        (i.name if i.installed else f"{i.name} (download {(i.bytes or 0) / 1e6:.0f} MB)", i.name)
        for i in list_models()
    ]
