"""What the queue of images looks like; what it does is in `widget`."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_hqsam.plugin.next_image.model import WorklistModel
from napari_hqsam.session.worklist import Skip

_SPACING = 4
_MARGIN = 6
_HEIGHT = 60  # of the list in a very small window


class NextImageControls:
    """The controls from top to bottom.

    Parameters
    ----------
    parent : QWidget
        Is given the layout.
    model : WorklistModel
        What the list shows.

    Attributes
    ----------
    folder_chosen, list_chosen : psygnal.Signal
        Emitted with the path of a folder, or of a list.
    places_chosen : psygnal.Signal
        Emitted when other files are wanted, or other places for labels.
    """

    folder_chosen = Signal(Path)
    list_chosen = Signal(Path)
    places_chosen = Signal()

    def __init__(self, parent: QWidget, model: WorklistModel) -> None:
        self.folder = _button("Folder…", "Annotate the images of a folder, one after the other.")
        self.list_file = _button(
            "List…", "A text file with one path a line, or a table (.csv) with a column of paths."
        )
        self.source = QLabel("Choose a folder of images, or a list of them.")
        self.source.setWordWrap(True)
        self.pattern = _line(
            "*",
            "Which files of the folder: *.tif, several separated by ; and **/*.tif for all "
            "folders below, too. Press Enter to look again.",
        )
        self.suffix = _line(
            "_labels", "The labels of a.tif are saved as a_labels.tif, very large ones as .zarr."
        )
        self.labels_folder = _line("", "Where the labels are saved; empty: beside each image.")
        self.labels_folder.setPlaceholderText("beside the images")
        self.labels_button = _button("…", "Choose a folder for the labels.")
        self.labels_button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

        self.progress = QProgressBar()
        self.progress.setToolTip("How many images are marked as done.")
        self.images = QListView()
        self.images.setModel(model)
        self.images.setUniformItemSizes(True)
        self.images.setSpacing(1)
        self.images.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.images.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.images.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.images.setMinimumHeight(_HEIGHT)
        self.skip_done = QCheckBox("Skip done ones")
        self.skip_done.setChecked(True)
        self.skip_done.setToolTip("Next goes to images that are not done.")
        self.skip_labelled = QCheckBox("and those with labels")
        self.skip_labelled.setToolTip("Next passes over all images that have labels already.")

        self.previous = _button("◀ Previous", "Save the labels, and go to the image before.")
        self.next = _button("Next ▶", "Save the labels, and go to the next image.")
        self.done = _button("✓ Done, next", "Save, mark this image as done, go to the next one.")
        self.busy = QLabel()
        self.busy.setWordWrap(True)
        self.cancel = _button("Cancel", "Stop looking for images.")
        self.show_busy("")
        self.show_progress(None)
        self._lay_out(parent)
        self._parent = parent
        self.folder.clicked.connect(lambda: self._ask_folder())
        self.list_file.clicked.connect(lambda: self._ask_list())
        self.labels_button.clicked.connect(lambda: self._ask_labels())
        for line in (self.pattern, self.suffix, self.labels_folder):
            line.returnPressed.connect(lambda: self.places_chosen.emit())

    @property
    def skip(self) -> Skip:
        """What Next passes over."""
        if not self.skip_done.isChecked():
            return "nothing"
        return "labelled" if self.skip_labelled.isChecked() else "done"

    @property
    def labels_place(self) -> Path | None:
        """The folder chosen for labels, or None for beside the images."""
        text = self.labels_folder.text().strip()
        return Path(text).expanduser().absolute() if text else None

    def show_source(self, source: Path) -> None:
        """Say what is looked at."""
        self.source.setText(source.name or str(source))
        self.source.setToolTip(str(source))

    def show_progress(self, progress: tuple[int, int] | None) -> None:
        """Say how many images are done; None while there are none."""
        done, total = progress or (0, 0)
        self.progress.setMaximum(max(total, 1))
        self.progress.setValue(done)
        self.progress.setFormat(f"{done:,} of {total:,} done" if total else "No images yet")
        for widget in (self.previous, self.next, self.done, self.images):
            widget.setEnabled(total > 0)

    def show_busy(self, text: str) -> None:
        """Say what is done now; "" for nothing."""
        self.busy.setText(text)
        self.busy.setVisible(bool(text))
        self.cancel.setVisible(bool(text))

    def _ask_folder(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self._parent, "Images to annotate"):
            self.folder_chosen.emit(Path(chosen))

    def _ask_list(self) -> None:
        kinds = "Lists (*.txt *.csv);;All files (*)"
        chosen, _ = QFileDialog.getOpenFileName(self._parent, "List of images", "", kinds)
        if chosen:
            self.list_chosen.emit(Path(chosen))

    def _ask_labels(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self._parent, "Folder for the labels"):
            self.labels_folder.setText(chosen)
            self.places_chosen.emit()

    def _lay_out(self, parent: QWidget) -> None:
        form = QFormLayout()
        form.setSpacing(_SPACING)
        form.addRow("Files", self.pattern)
        form.addRow("Labels end in", self.suffix)
        form.addRow("Labels in", _row(self.labels_folder, self.labels_button))
        rows = QVBoxLayout(parent)
        rows.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        rows.setSpacing(_SPACING)
        rows.addLayout(_row(self.folder, self.list_file))
        rows.addWidget(self.source)
        rows.addLayout(form)
        rows.addLayout(_row(self.busy, self.cancel))
        rows.addWidget(self.progress)
        rows.addWidget(self.images, 1)
        rows.addLayout(_row(self.skip_done, self.skip_labelled))
        rows.addLayout(_row(self.previous, self.next))
        rows.addWidget(self.done)


def _button(text: str, explanation: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(explanation)
    return button


def _line(text: str, explanation: str) -> QLineEdit:
    line = QLineEdit(text)
    line.setToolTip(explanation)
    return line


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(_SPACING)
    for widget in widgets:
        row.addWidget(widget, 1)
    return row
