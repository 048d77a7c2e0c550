"""Objects to files: labels, COCO, GeoJSON, ImageJ ROIs, measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.annotate.exports import FORMATS, Export
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable


class ExportTab(QWidget):
    """Choose a format, write a file.

    Parameters
    ----------
    prepare : callable
        Gives what there is to export now; raises HQSAMError if that is nothing.
    take_in : callable
        Makes objects of a file of annotations, given its path.

    Signals
    -------
    written(Path, Export)
        A file is complete.
    """

    written = Signal(object, object)

    def __init__(self, prepare: Callable[[], Export], take_in: Callable[[Path], object]) -> None:
        super().__init__()
        self._prepare, self._take_in = prepare, take_in
        self._task = Task()
        self._export: Export | None = None
        self.format = QComboBox()
        for each in FORMATS:
            self.format.addItem(each.title, each)
        self.format.setToolTip("What other programs read; each file says what made it.")
        self.sidecar = QCheckBox("Write down how it was made")
        self.sidecar.setChecked(True)
        self.sidecar.setToolTip(
            "A .json beside the file: versions, model, contrast, parameters, and the command that "
            "gives the same in a shell."
        )
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip("Choose where, and write it.")
        self.copy_button = QPushButton("Copy as command")
        self.copy_button.setToolTip("The command that makes the same labels in a shell.")
        self.import_button = QPushButton("Import objects…")
        self.import_button.setToolTip("COCO (.json) or GeoJSON of this image, into the labels.")
        self.progress = QProgressBar()
        self.cancel_button = QPushButton("Cancel")
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self._lay_out()
        self._task.progress.connect(self._on_progress)
        self._task.done.connect(self._on_done)
        self._task.failed.connect(self._on_failed)
        self._task.ended.connect(lambda: self._show_busy(False))
        self.export_button.clicked.connect(lambda: self.choose())
        self.copy_button.clicked.connect(lambda: self.copy_command())
        self.import_button.clicked.connect(lambda: self.choose_import())
        self.cancel_button.clicked.connect(self._task.cancel)

    def choose(self) -> None:
        """Ask where to, and export."""
        chosen = self.format.currentData()
        name, _ = QFileDialog.getSaveFileName(
            self, "Export objects", f"objects{chosen.suffix}", f"{chosen.title} (*{chosen.suffix})"
        )
        if name:
            self.export(Path(name))

    def export(self, path: Path) -> None:
        """Write the chosen format to a file; a missing suffix is added."""
        chosen = self.format.currentData()
        if path.suffix.lower() not in (chosen.suffix, *chosen.also):
            path = path.with_name(path.name + chosen.suffix)
        try:
            export = self._export = self._prepare()
        except HQSAMError as error:
            self._on_failed(str(error))
            return
        sidecar = self.sidecar.isChecked()
        if self._task.start(lambda job: export.write(chosen, path, job, sidecar=sidecar)):
            self._show_busy(True)
            self.status.setText(f"Writing {path.name}…")

    def copy_command(self) -> None:
        """Put the command that makes the same labels on the clipboard."""
        try:
            command = self._prepare().command_line()
        except HQSAMError as error:
            self._on_failed(str(error))
            return
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(command)
        self.status.setText(f"Copied: {command}")

    def choose_import(self) -> None:
        """Ask for a file of annotations, and take its objects in."""
        name, _ = QFileDialog.getOpenFileName(
            self, "Import objects", "", "COCO or GeoJSON (*.json *.geojson)"
        )
        if name:
            try:
                self.status.setText(str(self._take_in(Path(name)) or ""))
            except HQSAMError as error:
                self._on_failed(str(error))

    def close_tasks(self) -> None:
        """Cancel what is being written."""
        self._task.close()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Format", self.format)
        running = QHBoxLayout()
        running.addWidget(self.progress)
        running.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.sidecar)
        for button in (self.export_button, self.copy_button, self.import_button):
            layout.addWidget(button)
        layout.addLayout(running)
        layout.addWidget(self.status)
        layout.addStretch()
        self._show_busy(False)

    def _show_busy(self, busy: bool) -> None:
        self.progress.setVisible(busy)
        self.cancel_button.setVisible(busy)
        self.export_button.setEnabled(not busy)
        if busy:
            self.progress.setRange(0, 0)
        elif self.status.text().endswith("…"):
            self.status.setText("Cancelled; nothing was written.")

    def _on_progress(self, done: Any, total: Any) -> None:
        self.progress.setRange(0, 1000)
        self.progress.setValue(round(1000 * done / total) if total else 0)

    def _on_done(self, path: Path) -> None:
        self.status.setText(f"Written: {path.name}")
        self.status.setToolTip(str(path))
        if self._export is not None:
            for line in self._export.warnings:
                show_warning(f"HQ-SAM: {line}")
            self.written.emit(path, self._export)

    def _on_failed(self, line: str) -> None:
        self.status.setText(line)
        show_warning(f"HQ-SAM: {line}")
