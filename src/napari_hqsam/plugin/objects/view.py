"""The table on the screen: a click or a step of the cursor goes to the object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QSize, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction, QKeySequence  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_hqsam.plugin.objects.model import ObjectsModel
from napari_hqsam.plugin.objects.table import Column

_PADDING = 6  # pixels that a text is apart from the next one
_HEIGHT = 240  # that it would like to have; the layout gives it more
_SAMPLES = {
    Column.ID: "■■ 0000",
    Column.CLASS: "nucleus .",
    Column.SIZE: "100,000",
    Column.SCORE: "Score.",
    Column.UNCERTAINTY: "Unsure.",
    Column.STATUS: "accepted .",
}
"""What fits into each column at first; classes get what is left."""


class ObjectsView(QTableView):
    """Shows an `ObjectsModel`; the selection survives sorting and filtering.

    Parameters
    ----------
    model : ObjectsModel
    parent : QWidget, optional

    Signals
    -------
    went(int)
        The user chose this object to look at. (A plain object for Qt: ids may exceed a C int.)
    selection_changed()
    """

    went = QtSignal(object)
    selection_changed = QtSignal()

    def __init__(self, model: ObjectsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._objects = model
        self._kept: tuple[list[int], int | None] = ([], None)
        model.modelAboutToBeReset.connect(self._keep)
        self.setModel(model)
        self._selection: Any = self.selectionModel()
        model.modelReset.connect(self._restore)  # after the selection has forgotten everything
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self._size_cells()
        self.setSortingEnabled(True)
        self.sortByColumn(Column.ID, Qt.SortOrder.AscendingOrder)
        self.clicked.connect(self._on_clicked)

    @property
    def selected(self) -> list[int]:
        """The selected objects, from top to bottom."""
        # by ranges: all rows are one, but thousands of indexes
        ranges: Any = self._selection.selection()
        rows = {row for each in ranges for row in range(each.top(), each.bottom() + 1)}
        return [self._objects.ids[row] for row in sorted(rows)]

    @property
    def current(self) -> int | None:
        """The object under the cursor of the keyboard."""
        row = self.currentIndex().row()
        return self._objects.ids[row] if 0 <= row < len(self._objects.ids) else None

    def select(self, labels: Iterable[int]) -> None:
        """Select these objects, as far as they are shown; the first one is scrolled to."""
        chosen = list(labels)
        self._choose(chosen, next((i for i in chosen if self._objects.row_of(i) is not None), None))
        if self.currentIndex().isValid():
            self.scrollTo(self.currentIndex())

    def add_action(self, text: str, key: str, explanation: str, do: Callable[[], Any]) -> None:
        """Offer something in the context menu, and by a key while the table has the keyboard."""
        action = QAction(text, self)
        action.setToolTip(explanation)
        if key:
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda _checked=False: do())
        self.addAction(action)

    # What Qt calls

    def sizeHint(self) -> QSize:
        """So wide that all columns are seen."""
        bar: Any = self.verticalScrollBar()
        return QSize(sum(self._widths()) + bar.sizeHint().width() + 2, _HEIGHT)

    def keyPressEvent(self, event: Any) -> None:
        """Go where the keys move the cursor; Enter goes there again."""
        before = self.current
        super().keyPressEvent(event)
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if self.current is not None and (enter or self.current != before):
            self.went.emit(self.current)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        """Tell others, too."""
        super().selectionChanged(selected, deselected)
        self.selection_changed.emit()

    def _keep(self) -> None:
        self._kept = (self.selected, self.current)

    def _restore(self) -> None:
        self._choose(*self._kept)
        self.selection_changed.emit()

    def _choose(self, labels: Iterable[int], current: int | None) -> None:
        """Select objects, and put the cursor on one of them; what is not shown is left out."""
        last = len(Column) - 1
        row = None if current is None else self._objects.row_of(current)
        if row is not None:
            there = self._objects.index(row, 0)
            self._selection.setCurrentIndex(there, QItemSelectionModel.SelectionFlag.NoUpdate)
        rows = sorted(r for label in labels if (r := self._objects.row_of(label)) is not None)
        chosen = QItemSelection()
        # neighbours as one range: Qt takes long over thousands of ranges
        for _, group in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]):
            run = [r for _, r in group]
            chosen.select(self._objects.index(run[0], 0), self._objects.index(run[-1], last))
        self._selection.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _on_clicked(self, _index: QModelIndex) -> None:
        # with Shift or Ctrl more are selected: that is no wish to go there
        if self.current is not None and len(self.selected) == 1:
            self.went.emit(self.current)

    def _size_cells(self) -> None:
        rows: Any = self.verticalHeader()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().lineSpacing() + _PADDING)
        rows.hide()
        columns: Any = self.horizontalHeader()
        columns.setHighlightSections(False)
        widths = self._widths()
        columns.setMinimumSectionSize(min(widths))
        for column, width in enumerate(widths):
            self.setColumnWidth(column, width)
        columns.setSectionResizeMode(Column.CLASS, QHeaderView.ResizeMode.Stretch)

    def _widths(self) -> list[int]:
        metrics = self.fontMetrics()
        return [metrics.horizontalAdvance(_SAMPLES[c]) + _PADDING for c in Column]
