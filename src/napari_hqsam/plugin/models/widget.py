"""The Models dock."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QGridLayout,
    QGroupBox,
    QInputDialog,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.models import jobs
from napari_hqsam.plugin.models.catalogue import catalogue
from napari_hqsam.plugin.models.device import DevicePanel
from napari_hqsam.plugin.models.embeddings import EmbeddingsPanel
from napari_hqsam.plugin.models.rows import Row
from napari_hqsam.plugin.models.table import ModelTable
from napari_hqsam.plugin.models.timing import remembered, weights_hash
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.task import Task, Work
from napari_hqsam.weights import list_models, remove_model, suggest_name

_FILES = "Weights (*.pth *.pt *.safetensors *.bin *.ckpt);;All files (*)"


class ModelsWidget(QWidget):
    """Lists the models; downloads, times, adds and removes them; sets device and embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.details = ModelTable(), QLabel("")
        self.download, self.time = QPushButton("Download"), QPushButton("Time it here")
        self.default, self.remove = QPushButton("Use by default"), QPushButton("Remove")
        self.add = QPushButton("Add checkpoint…")
        self.status, self.bar, self.cancel = QLabel(""), QProgressBar(), QPushButton("Cancel")
        self.device, self.embeddings = DevicePanel(), EmbeddingsPanel()
        self._task = task = Task()
        self._doing = ""
        self._then: Any = None
        self._closed = False
        self._lay_out()
        self._explain()
        self._connect()
        self._unwatch = Settings.watch(self._on_settings)
        self.destroyed.connect(task.close)
        self._settings = Settings.load()
        self._on_settings()
        self._show_busy(False)

    # What the user does

    def start_download(self) -> None:
        """Download the selected model."""
        row = self.table.chosen
        if row is not None and not row.info.installed and row.info.url is not None:
            name = row.info.name
            self._start(
                f"Downloading {name}",
                partial(jobs.download, row.info),
                lambda _path: self._changed(f"{name} is installed."),
            )

    def start_timing(self) -> None:
        """Time the selected model on the device and in the precision chosen, compiled if so."""
        row = self.table.chosen
        if row is not None and row.info.installed:
            now = self._settings
            chosen = now.device, now.precision, now.compile
            self._start(
                f"Timing {row.info.name}",
                partial(jobs.time_model, row.info, *chosen),
                lambda timing: self._finish(f"{row.info.name}: {timing.encode:.2g} s per window."),
            )

    def add_checkpoint(self) -> None:
        """Ask for a file and a name, check the file, and add it."""
        file, _ = QFileDialog.getOpenFileName(self, "Add a checkpoint", "", _FILES)
        if not file:
            return
        name, agreed = QInputDialog.getText(
            self, "Add a checkpoint", "Name of the model:", text=suggest_name(file)
        )
        if agreed:
            self._start(
                f"Checking {Path(file).name}",
                partial(jobs.add, Path(file), name.strip()),
                lambda info: self._added(info.name, info.description),
            )

    def remove_checkpoint(self) -> None:
        """Forget the selected model, if the user has added it; the file stays."""
        row = self.table.chosen
        if row is None or row.info.added is None:
            return
        try:
            remove_model(row.info.name)
        except HQSAMError as error:
            self._warn(str(error))
            return
        if row.default:
            self._set(model="micro")
        self._changed(f"{row.info.name} was removed from the list; its file is still there.")

    def use_by_default(self) -> None:
        """Let new docks begin with the selected model."""
        row = self.table.chosen
        if row is not None:
            self._set(model=row.info.name)

    def shut_down(self) -> None:
        """End what is under way: the dock is closed."""
        if not self._closed:
            self._closed = True
            self._unwatch()
            self._task.close()
            self.device.close_down()
            self.embeddings.close_down()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return bool(super().event(event))

    # What happens then

    def refresh(self) -> None:
        """Show the models that there are now."""
        computer = self.device.computer
        rows = []
        for info in list_models():
            timing = None
            if computer is not None and info.installed:
                timing = remembered(weights_hash(info), computer.label, computer.precision)
            rows.append(Row(info, info.name == self._settings.model, timing))
        self.table.show_rows(rows)

    def _on_settings(self) -> None:
        self._settings = Settings.load()
        self.device.show_settings(self._settings)
        self.embeddings.show_settings(self._settings)
        self.refresh()

    def _set(self, **values: Any) -> None:
        try:
            Settings.change(**values)
        except Exception as error:  # napari's own settings are damaged, or the disk refuses
            self._warn(f"the settings cannot be changed ({error})")
        self._on_settings()

    def _start(self, doing: str, work: Work, then: Any) -> None:
        if self._task.start(work):
            self._doing, self._then = doing, then
            self.status.setText(f"{doing}…")
            self.bar.setRange(0, 0)
            self._show_busy(True)

    def _on_progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * done / max(total, 1)))
        self.status.setText(f"{self._doing}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    def _on_done(self, result: Any) -> None:
        self._then(result)

    def _on_ended(self) -> None:
        self._show_busy(False)
        if self.status.text().startswith(self._doing):
            self.status.setText(f"{self._doing}: cancelled.")
        self.refresh()  # part of a download may be there

    def _added(self, name: str, description: str) -> None:
        self._changed(f"{name} was added: {description}.")
        self.table.select(name)

    def _changed(self, text: str) -> None:
        self.refresh()
        self._finish(text)
        catalogue.changed.emit()

    def _finish(self, text: str) -> None:
        self.status.setText(text)
        show_info(f"HQ-SAM: {text}")

    def _warn(self, message: str) -> None:
        self.status.setText(message)
        show_warning(f"HQ-SAM: {message}")

    def _show_busy(self, busy: bool) -> None:
        self.bar.setVisible(busy)
        self.cancel.setVisible(busy)
        self.status.setVisible(bool(self.status.text()))
        self._on_selected()

    def _on_selected(self) -> None:
        """Offer what can be done with the selected model."""
        row, idle = self.table.chosen, not self._task.busy
        self.details.setText("" if row is None else row.details)
        self.status.setVisible(bool(self.status.text()))
        installed = row is not None and row.info.installed
        missing = row is not None and not installed and row.info.url is not None
        self.download.setEnabled(idle and missing)
        self.time.setEnabled(idle and installed)
        self.add.setEnabled(idle)
        self.default.setEnabled((installed or missing) and row is not None and not row.default)
        self.remove.setEnabled(idle and row is not None and row.info.added is not None)

    # How it is put together

    def _lay_out(self) -> None:
        for label in (self.details, self.status):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QGridLayout()
        for at, button in enumerate((self.download, self.time, self.default, self.remove)):
            buttons.addWidget(button, at // 2, at % 2)
        content = QWidget()
        column = QVBoxLayout(content)
        column.addWidget(self.table)
        column.addWidget(self.details)
        column.addLayout(buttons)
        for item in (self.add, self.status, self.bar, self.cancel):
            column.addWidget(item)
        for title, panel in (("Compute on", self.device), ("Embeddings", self.embeddings)):
            group = QGroupBox(title)
            QVBoxLayout(group).addWidget(panel)
            column.addWidget(group)
        column.addStretch()
        # a small screen scrolls
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(300)

    def _explain(self) -> None:
        self.download.setToolTip("Download the weights; a cut or cancelled download goes on later.")
        self.time.setToolTip("Load the model and encode one window, on the device chosen below.")
        self.default.setToolTip("Begin with this model in the Annotate dock.")
        self.remove.setToolTip("Take a checkpoint of yours off the list; the file is not deleted.")
        self.add.setToolTip(
            "Add weights of your own: HQ-SAM, SAM, MobileSAM or micro-sam, as .pth, .pt or "
            ".safetensors. The file is checked, and stays where it is."
        )
        self.cancel.setToolTip("Stop; what is downloaded by then is kept for the next time.")

    def _connect(self) -> None:
        self.table.selected.connect(self._on_selected)
        for button, action in (
            (self.download, self.start_download),
            (self.time, self.start_timing),
            (self.default, self.use_by_default),
            (self.remove, self.remove_checkpoint),
            (self.add, self.add_checkpoint),
            (self.cancel, self._task.cancel),
        ):
            button.clicked.connect(action)
        self._task.progress.connect(self._on_progress)
        self._task.done.connect(self._on_done)
        self._task.failed.connect(self._warn)
        self._task.ended.connect(self._on_ended)
        self.device.found.connect(self.refresh)
        self.device.chosen.connect(lambda d, p, c: self._set(device=d, precision=p, compile=c))
        self.embeddings.chosen.connect(lambda f, gb: self._set(folder=f, limit_gb=gb))
        self.embeddings.failed.connect(self._warn)
