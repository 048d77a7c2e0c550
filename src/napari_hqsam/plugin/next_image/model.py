"""The images of a worklist as a Qt model: a tick for what is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QFont

from napari_hqsam.session.worklist import Worklist

_NOWHERE = QModelIndex()
_CHECKED, _UNCHECKED = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class WorklistModel(QAbstractListModel):
    """One row an image.

    Parameters
    ----------
    parent : QObject, optional

    Signals
    -------
    ticked(Path, bool)
        The user says that an image is done, or is not.
    """

    ticked = QtSignal(object, bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worklist: Worklist | None = None
        self.current: Path | None = None

    def show(self, worklist: Worklist | None) -> None:
        """Show another list, or none."""
        self.beginResetModel()
        self.worklist, self.current = worklist, None
        self.endResetModel()

    def refresh(self) -> None:
        """Some images have changed."""
        if self.rowCount():
            self.dataChanged.emit(self.index(0), self.index(self.rowCount() - 1))

    def index_of(self, path: Path | None) -> QModelIndex:
        """The row of an image; an invalid index if it has none."""
        row = None if path is None or self.worklist is None else self.worklist.position(path)
        return QModelIndex() if row is None else self.index(row)

    # What Qt asks

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: D102
        return 0 if self.worklist is None or parent.isValid() else len(self.worklist)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:  # noqa: D102
        return super().flags(index) | Qt.ItemFlag.ItemIsUserCheckable

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        if self.worklist is None or not index.isValid():
            return None
        image = self.worklist[index.row()]
        if role == Qt.ItemDataRole.CheckStateRole:
            return _CHECKED if image.done else _UNCHECKED
        if role == Qt.ItemDataRole.DisplayRole:
            state = "cannot be opened" if image.error else "labels" if image.labels else ""
            return f"{image.name}  ({state})" if state and not image.done else image.name
        if role == Qt.ItemDataRole.ToolTipRole:
            labels = f"Labels: {image.labels}" if image.labels else "No labels yet"
            return image.error or f"{image.path}\n{labels}\nDouble-click to open it."
        if role == Qt.ItemDataRole.FontRole and image.path == self.current:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:  # noqa: D102
        if role != Qt.ItemDataRole.CheckStateRole or self.worklist is None:
            return False
        self.ticked.emit(self.worklist[index.row()].path, Qt.CheckState(value) == _CHECKED)
        return True
