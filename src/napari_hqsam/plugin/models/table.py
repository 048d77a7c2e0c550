"""The table of models, and what is said of the one selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QWidget

from napari_hqsam.plugin.models.rows import HEADINGS, Row

_MOST_LINES = 8
_EXPLAINED = (
    "The name, for the Annotate dock and for --model; ★ is used by default.",
    "Of the file.",
    "Whether the weights are on this computer.",
    "Time to encode a window on this computer; “Time it” measures it.",
    "Of the weights.",
    "What the model has learnt from.",
)


class ModelTable(QTableWidget):
    """One line for each model.

    Signals
    -------
    selected()
        Another line was selected.
    """

    selected = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._rows: tuple[Row, ...] = ()
        for column, (heading, explained) in enumerate(zip(HEADINGS, _EXPLAINED, strict=True)):
            item = QTableWidgetItem(heading)
            item.setToolTip(explained)
            self.setHorizontalHeaderItem(column, item)
        numbers: Any = self.verticalHeader()
        numbers.hide()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.itemSelectionChanged.connect(self.selected)

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show these models; the selected one stays selected, or the default one is."""
        now = self.chosen
        wanted = None if now is None else now.info.name
        self.blockSignals(True)
        fresh = tuple(row.info.name for row in rows) != tuple(r.info.name for r in self._rows)
        self._rows = tuple(rows)
        self.setRowCount(len(rows))
        for line, row in enumerate(rows):
            for column, text in enumerate(row.cells):
                self.setItem(line, column, _cell(text, row, right=column in (1, 3)))
        names = [row.info.name for row in rows]
        at = next((i for i, row in enumerate(rows) if row.default), 0)
        if rows:
            self.selectRow(names.index(wanted) if wanted in names else at)
        if fresh:
            self._fit()
        else:
            for column in range(len(HEADINGS) - 1):
                self.resizeColumnToContents(column)
        self.blockSignals(False)
        self.selected.emit()

    @property
    def chosen(self) -> Row | None:
        """The model selected."""
        line = self.currentRow()
        return self._rows[line] if 0 <= line < len(self._rows) else None

    def select(self, name: str) -> None:
        """Select the model called `name`."""
        for line, row in enumerate(self._rows):
            if row.info.name == name:
                self.selectRow(line)

    def _fit(self) -> None:
        """As wide as the texts, as high as its lines: few models need no scroll bar."""
        self.resizeColumnsToContents()
        self.resizeRowsToContents()
        lines = sum(self.rowHeight(i) for i in range(min(self.rowCount(), _MOST_LINES)))
        around: tuple[Any, ...] = (self.horizontalHeader(), self.horizontalScrollBar())
        bars = sum(each.sizeHint().height() for each in around) + 2 * self.frameWidth()
        bars += self.fontMetrics().lineSpacing() // 2  # a theme's padding
        self.setFixedHeight(lines + bars)


def _cell(text: str, row: Row, *, right: bool) -> Any:
    item = QTableWidgetItem(text)
    item.setToolTip(row.details)
    if right:
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    if row.default:
        font = item.font()
        font.setBold(True)
        item.setFont(font)
    return item
