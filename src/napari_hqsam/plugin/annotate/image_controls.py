"""Which image is segmented, by which model: the topmost section of the dock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, Label, PushButton
from napari.layers import Image

from napari_hqsam.plugin.annotate.section import Fold, column, form, narrow, row, wrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ImageControls:
    """The image with its channels and contrast, the model, and what is encoded ahead.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are offered.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        def images(_widget: Any) -> list[Image]:
            return [layer for layer in viewer.layers if isinstance(layer, Image)]

        self.image = ComboBox(label="Image", choices=images)
        self.green = ComboBox(label="+ Green", choices=images, nullable=True)
        self.blue = ComboBox(label="+ Blue", choices=images, nullable=True)
        self.contrast = ComboBox(
            label="Contrast", choices=[("as displayed", "displayed"), ("automatic", "auto")]
        )
        self.contrast_button = PushButton(text="Use the contrast on display", visible=False)
        self.model = ComboBox(label="Model", choices=_model_choices, value="micro")
        self.ahead = CheckBox(text="Encode ahead")
        self.show_ready = CheckBox(text="Show what is ready", value=True)
        self.pause: Any = CheckBox(text="Pause")
        self.ahead_status = Label(value="")
        self.store = FileEdit(
            label="Embeddings", mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True
        )
        more = form(self.green, self.blue, self.contrast, self.store)
        self._all = column(
            form(self.image, self.model),
            self.contrast_button,
            row(self.ahead, self.pause),
            self.ahead_status,
        )
        self._all.native.layout().addWidget(
            Fold("Channels, contrast, embeddings", more, row(self.show_ready))
        )
        wrapped(self.ahead_status)
        narrow(self.image, self.green, self.blue, self.model)
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

    def reset_models(self) -> None:
        """Offer the models that there are now."""
        self.model.reset_choices()

    @property
    def more_channels(self) -> list[Image]:
        """The layers chosen beside the image."""
        return [box.value for box in (self.green, self.blue) if box.value is not None]

    @property
    def store_folder(self) -> Path | None:
        """The folder chosen for embeddings, if it is there: half a typed name is none."""
        name = str(self.store.value or "")
        return Path(name) if name not in ("", ".") and Path(name).is_dir() else None

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

    def _explain(self) -> None:
        self.image.tooltip = "The image to segment."
        self.green.tooltip = "Another channel of it, seen as green; the image is red then."
        self.blue.tooltip = "A third channel, seen as blue."
        self.contrast.tooltip = (
            "What the model sees as black and white: the layer's contrast limits when it is first "
            "used, or percentiles of the whole image."
        )
        self.contrast_button.tooltip = "The model still sees the contrast from before."
        self.model.tooltip = (
            "micro comes with the plugin; the others are downloaded on first use. "
            "Plugins > HQ-SAM > Models tells more."
        )
        self.ahead.tooltip = "Encode what you look at before you click on it."
        self.show_ready.tooltip = "Outline where a click is answered at once."
        self.pause.tooltip = "Encode nothing ahead for now; clicks are answered all the same."
        self.store.tooltip = (
            "A folder that keeps what is encoded, for the next time; `napari-hqsam embed` fills it "
            "overnight. None: kept in memory only."
        )


def _model_choices(_widget: Any) -> list[tuple[str, str]]:
    from napari_hqsam.weights import list_models

    return [
        (i.name if i.installed else f"{i.name} (download {(i.bytes or 0) / 1e6:.0f} MB)", i.name)
        for i in list_models()
    ]
