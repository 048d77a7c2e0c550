"""What models run on: the device, the precision of the encoder, whether it is compiled."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QWidget

from napari_hqsam.plugin.models.jobs import Computer, look_around
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.task import Task

_PRECISIONS = {
    "auto": "auto",
    "float32": "float32, exact",
    "bfloat16": "bfloat16, faster, about 1 % of the logits",
}


class DevicePanel(QWidget):
    """Chooses device, precision and whether to compile, and says what they are.

    Signals
    -------
    chosen(str, str, bool)
        The user has chosen another device or precision, or whether to compile.
    found()
        `computer` is known, or another one.
    """

    chosen = Signal(str, str, bool)
    found = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.computer: Computer | None = None
        self.device, self.precision = QComboBox(), QComboBox()
        self.compile = QCheckBox("Compile")
        self.said = QLabel("Looking for a GPU…")
        self.said.setWordWrap(True)
        for value, text in _PRECISIONS.items():
            self.precision.addItem(text, value)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Device", self.device)
        form.addRow("Precision", self.precision)
        form.addRow(self.compile)
        form.addRow(self.said)
        self.device.setToolTip("Where models compute. auto takes a GPU if there is one.")
        self.precision.setToolTip(
            "Of the image encoder. float32 is exact; bfloat16 is faster on GPUs and CPUs made for "
            "it, changes logits by about 1 %, and so moves boundaries a little. auto takes it on "
            "such GPUs, float32 elsewhere. What is encoded in one is not used by the other."
        )
        self.compile.setToolTip(
            "Let torch compile the image encoder for each size of input, which may pay on a GPU. "
            "Nobody waits: that takes minutes in the background, needs a C++ compiler, and is used "
            "once it is found equal and faster; else a warning says why not. On a CUDA GPU clicks "
            "are also replayed as CUDA graphs."
        )
        self.said.setToolTip("What models compute on now.")
        for box in (self.device, self.precision):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(10)
            box.activated.connect(self._on_activated)
        self.compile.clicked.connect(self._on_activated)
        self._task = Task()
        self._task.done.connect(self._on_found)
        self._task.failed.connect(self.said.setText)
        self._task.ended.connect(self._on_ended)
        self._wanted: tuple[str, str, bool] | None = None
        self._looked_for: tuple[str, str, bool] | None = None

    def show_settings(self, settings: Settings) -> None:
        """Show what is set, and find out what that means on this computer."""
        wanted = (settings.device, settings.precision, settings.compile)
        if wanted == self._looked_for:
            return
        self._wanted = self._looked_for = wanted
        self._choose(self.device, settings.device)
        self._choose(self.precision, settings.precision)
        self.compile.setChecked(settings.compile)
        self._look()

    def close_down(self) -> None:
        """End what is under way."""
        self._task.close()

    def _look(self) -> None:
        if self._wanted is not None and self._task.start(partial(look_around, *self._wanted)):
            self._wanted = None

    def _on_ended(self) -> None:
        self._look()  # another one may have been chosen meanwhile

    def _on_found(self, computer: Computer) -> None:
        self.computer = computer
        now = self.device.currentData() or "auto"
        self.device.clear()
        for value, text in computer.devices:
            self.device.addItem(value if value == "auto" else f"{value} ({text})", value)
        self._choose(self.device, now)
        self.said.setText(self.text)
        self.found.emit()

    @property
    def text(self) -> str:
        """What is said about the computer."""
        if self.computer is None:
            return ""
        if self.computer.problem:
            return self.computer.problem
        names = dict(self.computer.devices)
        device = names.get(str(self.device.currentData()), "")
        return f"{device}. Encoder: {self.computer.precision}."

    def _choose(self, box: QComboBox, value: str) -> None:
        at = box.findData(value)
        if at < 0:
            box.addItem(value, value)
            at = box.count() - 1
        box.setCurrentIndex(at)

    def _on_activated(self) -> None:
        self.chosen.emit(
            str(self.device.currentData()),
            str(self.precision.currentData()),
            self.compile.isChecked(),
        )
