"""The objects as a Qt model that sorts and filters by itself.

A proxy model would ask for every cell through Qt; this one keeps a sorted list of ids, and only
cells that are on display are ever asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QColor

from napari_hqsam.plugin.objects.order import Order
from napari_hqsam.plugin.objects.table import Column, Filter, ObjectTable

Colour = Callable[[int], Sequence[float] | None]
"""The (r, g, b) or (r, g, b, a), 0 to 1, of a label; None for none. `Labels.get_color` is one."""

# More objects than this at a time are sorted in at once, not row by row.
_MANY = 200
_NOWHERE = QModelIndex()
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ObjectsModel(QAbstractTableModel):
    """Rows are objects, columns those of `table.Column`.

    Parameters
    ----------
    parent : QObject, optional
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.table = ObjectTable({})
        self.filter = Filter()
        self._colour_of: Colour | None = None
        self._sorted = (int(Column.ID), False)
        self._order = Order(self.table.key(*self._sorted))

    @property
    def ids(self) -> Sequence[int]:
        """The objects that are shown, from top to bottom."""
        return self._order.ids

    def row_of(self, label: int) -> int | None:
        """The row of an object, or None if it is not shown."""
        return self._order.position(label)

    def show(self, table: ObjectTable, colour_of: Colour | None = None) -> None:
        """Show the objects of a table."""
        self.table, self._colour_of = table, colour_of
        self._arrange()

    def set_filter(self, wanted: Filter) -> None:
        """Show only some objects."""
        if wanted != self.filter:
            self.filter = wanted
            self._arrange()

    def recolour(self) -> None:
        """The labels have other colours now."""
        if self.ids:
            last = self.index(len(self.ids) - 1, Column.ID)
            self.dataChanged.emit(self.index(0, Column.ID), last)

    def refresh(self, labels: Collection[int]) -> None:
        """These objects came, changed, or went."""
        self.table.forget(labels)
        if len(labels) > _MANY:
            self._arrange()
            return
        for label in labels:
            self._refresh_one(label)

    # What Qt asks

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: D102
        return 0 if parent.isValid() else len(self.ids)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:  # noqa: D102
        return 0 if parent.isValid() else len(Column)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        if not index.isValid():
            return None
        label, column = self.ids[index.row()], index.column()
        if label not in self.table.objects:  # gone, but its row is not yet taken out
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.table.text(label, column)
        if role == Qt.ItemDataRole.DecorationRole and column == Column.ID:
            colour = None if self._colour_of is None else self._colour_of(label)
            return None if colour is None else QColor.fromRgbF(*(float(v) for v in colour[:3]))
        if role == Qt.ItemDataRole.ToolTipRole and column == Column.CLASS:
            return self.table.text(label, column)  # the column may be too narrow
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in (
            Column.ID,
            Column.CLASS,
            Column.STATUS,
        ):
            return _RIGHT
        return None

    def headerData(  # noqa: D102
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.table.title(section)
            if role == Qt.ItemDataRole.ToolTipRole:
                return f"{self.table.explanation(section)} Click here to sort."
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; unknown values stay last."""
        self._sorted = (max(column, 0), order == Qt.SortOrder.DescendingOrder)
        self._arrange()  # Qt's own way takes seconds while thousands of rows are selected

    def _arrange(self) -> None:
        self.beginResetModel()
        self._order = Order(self.table.key(*self._sorted))
        objects, admits = self.table.objects, self.filter.admits
        self._order.fill(label for label, record in objects.items() if admits(record))
        self.endResetModel()

    def _refresh_one(self, label: int) -> None:
        record, row = self.table.objects.get(label), self._order.position(label)
        wanted = record is not None and self.filter.admits(record)
        if row is None:
            if wanted:
                place = self._order.place(label)
                self.beginInsertRows(_NOWHERE, place, place)
                self._order.insert(label)
                self.endInsertRows()
            return
        if not wanted:
            self.beginRemoveRows(_NOWHERE, row, row)
            self._order.remove(label)
            self.endRemoveRows()
            return
        place = self._order.place(label)
        if place != row:
            # Qt counts the place before the row is taken out
            self.beginMoveRows(_NOWHERE, row, row, _NOWHERE, place + (place > row))
        self._order.remove(label)
        self._order.insert(label)
        if place != row:
            self.endMoveRows()
        self.dataChanged.emit(self.index(place, 0), self.index(place, len(Column) - 1))
