"""What the dock says: what happened, what is being waited for, and how things stand."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Label, ProgressBar, PushButton
from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer

from napari_hqsam.plugin.annotate.section import column, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hqsam.segmentation import Mask

HINT = (
    "Draw a box around an object, or click on it; correct the preview with − clicks, then commit "
    "it. Nothing is lost: every step is written down and can be undone."
)

# What is done sooner shows no progress.
_PATIENCE_MILLISECONDS = 200


class StatusLine:
    """A message, a progress bar with Cancel, and a line: model, device, window, saved."""

    def __init__(self) -> None:
        self.message: Any = Label(value=HINT)
        self.progress = ProgressBar(visible=False, max=0)
        self.cancel_button = PushButton(text="Cancel", visible=False)
        self.state: Any = Label(value="")
        self._parts = {"model": "", "device": "", "window": "", "saved": ""}
        self._all = column(self.message, row(self.progress, self.cancel_button), self.state)
        wrapped(self.message, lines=4)
        wrapped(self.state, lines=2)
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PATIENCE_MILLISECONDS)
        self._timer.timeout.connect(self._on_patience)
        self.message.native.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.cancel_button.tooltip = "Stop waiting for what is being computed."
        self.state.tooltip = "Model, device, whether a click here is answered at once, last save."

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    def say(self, text: str) -> None:
        """Show a message."""
        self.message.value = text

    def show_busy(self, busy: bool) -> None:
        """Show the progress bar and its Cancel button, if it takes long; or hide them."""
        if busy:
            if not self._timer.isActive():
                self._timer.start()
            return
        self._timer.stop()
        self._show_progress(False)
        if str(self.message.value).endswith("…"):
            self.message.value = HINT

    def show_stage(self, text: str, done: int, total: int) -> None:
        """Say what is computed now; bytes done of a total, or 0 if that is not known."""
        self.progress.max = 1000 if total else 0
        self.progress.value = round(1000 * done / total) if total else 0
        share = f" {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        self.message.value = text.removesuffix("…") + share + "…"

    def show_masks(self, masks: Sequence[Mask]) -> None:
        """Say what was found."""
        found = [m for m in masks if m.area]
        if not found:
            self.say("No object found there: try a box, or another click.")
            return
        scores = ", ".join(f"{m.score:.2f}" for m in found[:3])
        objects = "1 object" if len(found) == 1 else f"{len(found)} objects"
        self.say(f"{objects}, {sum(m.area for m in found)} px, score {scores}")

    def show_model(self, name: str) -> None:
        """Say which model is chosen."""
        self._show(model=name)

    def show_device(self) -> None:
        """Say what computes, once something has been."""
        from napari_hqsam.modeling import describe_device

        self._show(device=describe_device())

    def show_window(self, ready: bool | None) -> None:
        """Say whether a click in view is answered at once; None where nothing is known."""
        self._show(window={True: "window ready", False: "window not encoded yet", None: ""}[ready])

    def show_saved(self, saved: datetime | None, kept: datetime | None) -> None:
        """Say when the labels were saved to a file, and when the journal last kept a step."""
        if saved is not None and (kept is None or kept <= saved):
            text = f"saved {saved.astimezone():%H:%M}"
        else:
            text = f"kept {kept.astimezone():%H:%M}, not exported yet" if kept else ""
        self._show(saved=text)

    def close(self) -> None:
        """Show nothing more: the dock is closed."""
        self._timer.stop()

    def _on_patience(self) -> None:
        if isalive(self.progress.native):
            self._show_progress(True)

    def _show_progress(self, shown: bool) -> None:
        self.progress.visible = self.cancel_button.visible = shown

    def _show(self, **parts: str) -> None:
        self._parts.update(parts)
        self.state.value = " · ".join(text for text in self._parts.values() if text)
