"""Where embeddings are kept, how much they take, and how much they may."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_hqsam.plugin.models.jobs import free_space, look_into
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.task import Task, Work

if TYPE_CHECKING:
    from napari_hqsam.embedding.eviction import Freed
    from napari_hqsam.embedding.folder import FolderStatus


class EmbeddingsPanel(QWidget):
    """Chooses the folder and its limit, says what is used, and frees space.

    Signals
    -------
    chosen(object, float)
        The user has chosen a folder (a path, or None) or a limit in GB.
    failed(str)
        One line for the user.
    """

    chosen = Signal(object, float)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._folder: Path | None = None
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("kept in memory only")
        self.browse = QPushButton("…")
        self.limit = QDoubleSpinBox()
        self.limit.setRange(0, 1e6)
        self.limit.setDecimals(1)
        self.used = QLabel("")
        self.used.setWordWrap(True)
        self.free = QPushButton("Free space…")
        self.cancel = QPushButton("Cancel")
        self.cancel.hide()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Folder", _row(self.folder, self.browse))
        form.addRow("Limit, GB", _row(self.limit, self.free, self.cancel))
        form.addRow(self.used)
        self.folder.setToolTip(
            "Keeps what is encoded for all images, so that they open ready to click; empty: none."
        )
        self.browse.setToolTip("Choose the folder.")
        self.limit.setToolTip("What may be kept; what was not used for longest goes first.")
        self.free.setToolTip("Delete what was not used for longest, until so much is left.")
        self.used.setToolTip("What the folder takes on the disk now.")
        self.cancel.setToolTip("Stop; what is deleted by then stays deleted.")
        self.folder.editingFinished.connect(self._on_typed)
        self.limit.editingFinished.connect(self._on_limit)
        self.browse.clicked.connect(self._on_browse)
        self.free.clicked.connect(self._on_free)
        self._task = Task()
        self._again = self._known = False
        self._status: FolderStatus | None = None
        self._then: Callable[[Any], None] = self._on_measured
        self.cancel.clicked.connect(self._task.cancel)
        self._task.done.connect(lambda result: self._then(result))
        self._task.failed.connect(self._on_failed)
        self._task.ended.connect(self._on_ended)

    def show_settings(self, settings: Settings) -> None:
        """Show what is set, and measure the folder."""
        same, self._folder = settings.folder == self._folder and self._known, settings.folder
        self._known = True
        if not self.folder.hasFocus():
            self.folder.setText("" if settings.folder is None else str(settings.folder))
        if not self.limit.hasFocus():
            self.limit.setValue(settings.limit_gb)
        if not same:
            self._status = None
            self.measure()
        elif not self._task.busy:
            self._show_used()

    def measure(self) -> None:
        """Look again what the folder takes."""
        self.free.setEnabled(self._folder is not None)
        if self._folder is None:
            self.used.setText("")
        elif self._start(partial(look_into, self._folder), self._on_measured):
            self.used.setText("Measuring…")
        else:
            self._again = True

    def close_down(self) -> None:
        """End what is under way."""
        self._task.close()

    def _start(self, job: Work, then: Callable[[Any], None]) -> bool:
        started = self._task.start(job)
        if started:
            self._then = then
        self.cancel.setVisible(self._task.busy)
        self.free.setVisible(not self._task.busy)
        return started

    def _on_typed(self) -> None:
        text = self.folder.text().strip()
        folder = Path(text).expanduser() if text else None
        if folder != self._folder:
            self.chosen.emit(folder, self.limit.value())

    def _on_limit(self) -> None:
        self.chosen.emit(self._folder, self.limit.value())

    def _on_browse(self) -> None:
        start = str(self._folder or Path.home())
        found = QFileDialog.getExistingDirectory(self, "Folder for embeddings", start)
        if found:
            self.chosen.emit(Path(found), self.limit.value())

    def _on_free(self) -> None:
        if self._folder is None:
            return
        left, agreed = QInputDialog.getDouble(
            self,
            "Free space",
            "Delete what was not used for longest, until so many GB are left:",
            self.limit.value(),
            0,
            1e6,
            1,
        )
        if agreed and self._start(partial(free_space, self._folder, left), self._on_freed):
            self.used.setText("Deleting…")

    def _on_freed(self, freed: Freed) -> None:
        show_info(f"HQ-SAM: {freed.windows:,} windows deleted, {freed.bytes / 1e9:.2f} GB freed")
        self._again = True

    def _on_measured(self, status: FolderStatus) -> None:
        self._status = status
        self._show_used()

    def _show_used(self) -> None:
        result = self._status
        if result is None:
            return
        windows = "1 window" if result.windows == 1 else f"{result.windows:,} windows"
        images = "1 image" if result.stores == 1 else f"{result.stores:,} images"
        used, limit = result.bytes / 1e9, self.limit.value()
        over = ", over the limit" if used > limit else ""
        self.used.setText(f"{used:.2f} of {limit:g} GB used{over}: {windows} of {images}")

    def _on_failed(self, message: str) -> None:
        self.used.setText(message)
        self.failed.emit(message)

    def _on_ended(self) -> None:
        again, self._again = self._again, False
        self.cancel.hide()
        self.free.show()
        if again:
            self.measure()
        elif self.used.text().endswith("…"):
            self.used.setText("Cancelled.")


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for at, widget in enumerate(widgets):
        layout.addWidget(widget, 0 if at else 1)
    return row
