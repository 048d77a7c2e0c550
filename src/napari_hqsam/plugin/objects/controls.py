"""What the table of objects looks like; what it does is in `widget`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_hqsam.plugin.objects.table import Filter
from napari_hqsam.session.record import STATUSES

_NARROW = 40  # pixels that a button or a box may be squeezed to, in a small window
_SPACING = 4
_MARGIN = 6


class ObjectsControls:
    """The controls around the table, from top to bottom.

    Parameters
    ----------
    parent : QWidget
        Is given the layout.
    view : QWidget
        The table.
    """

    def __init__(self, parent: QWidget, view: QWidget) -> None:
        self.text = QLineEdit()
        self.text.setPlaceholderText("Filter")
        self.text.setClearButtonEnabled(True)
        self.text.setMinimumWidth(_NARROW)
        self.text.setToolTip("Show only objects whose class has these words, or that have this id.")
        self.class_filter = _box("Show only objects of this class.")
        self.status_filter = _box("Show only objects with this status.")
        self.status_filter.addItem("Any status", None)
        for status in STATUSES:
            self.status_filter.addItem(status, status)
        self.count = QLabel()

        self.progress = QProgressBar()
        self.progress.setToolTip("How many of the objects were accepted, or marked to be fixed.")
        self.previous = _button("◀ Back", "Go to the object before this one, reviewed or not.")
        self.accept = _button("Accept", "The object is right: go to the next doubtful one.")
        self.next = _button("Next ▶", "Go to the next object that nobody has reviewed.")
        self.fix = _button("Fix now", "Take up its prompts again, to improve it.")
        self.later = _button("Fix later", "Mark it as to be fixed later, and go on.")
        self.delete = _button("Delete", "Delete the selected objects; undo brings them back.")

        self.class_name = _box("The class to give to the selected objects; type a new one.")
        self.class_name.setEditable(True)
        self.class_name.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        line: Any = self.class_name.lineEdit()
        line.setPlaceholderText("Class")
        self.class_line = line
        self.set_class = _button("Set class", "Give the selected objects this class.")
        self.merge = _button("Merge", "Make the selected objects one; it keeps the lowest id.")
        self.split = _button("Split", "Draw a line through the object, to cut it in two.")
        self.smooth = _button("Smooth", "Smooth the outlines of the selected objects.")
        self.radius = QSpinBox()
        self.radius.setRange(1, 50)
        self.radius.setValue(2)
        self.radius.setSuffix(" px")
        self.radius.setToolTip("Bumps and gaps up to about this size are smoothed away.")
        self.work = QProgressBar()
        self.work.setFormat("Smoothed %v of %m")
        self.cancel = _button("Cancel", "Stop here; what is done can be undone.")
        self.show_work(0, 0)
        self._lay_out(parent, view)

    @property
    def filter(self) -> Filter:
        """What is chosen above the table."""
        return Filter(
            self.class_filter.currentData(), self.status_filter.currentData(), self.text.text()
        )

    def offer_classes(self, names: Sequence[str]) -> None:
        """Offer the classes in use; what is chosen stays chosen."""
        known = [self.class_name.itemText(i) for i in range(self.class_name.count())]
        if self.class_filter.count() and names == known:
            return
        typed, chosen = self.class_name.currentText(), self.class_filter.currentData()
        self.class_name.blockSignals(True)
        self.class_name.clear()
        self.class_name.addItems(list(names))
        self.class_name.setEditText(typed)
        self.class_name.blockSignals(False)
        # a class that is no longer there stays chosen, lest the filter change by itself
        kept = [*names] if chosen in (None, "", *names) else [*names, chosen]
        self.class_filter.blockSignals(True)
        self.class_filter.clear()
        self.class_filter.addItem("Any class", None)
        for name in kept:
            self.class_filter.addItem(name, name)
        self.class_filter.addItem("No class", "")
        self.class_filter.setCurrentIndex(self.class_filter.findData(chosen) if chosen else 0)
        if chosen == "":
            self.class_filter.setCurrentIndex(self.class_filter.count() - 1)
        self.class_filter.blockSignals(False)

    def show_count(self, shown: int, total: int, selected: int) -> None:
        """Say how many objects there are."""
        what = f"{total:,} object{'' if total == 1 else 's'}"
        text = what if shown == total else f"{shown:,} of {what} shown"
        self.count.setText(f"{text}, {selected:,} selected" if selected > 1 else text)

    def show_progress(self, reviewed: int, total: int) -> None:
        """Say how far proofreading is."""
        self.progress.setMaximum(max(total, 1))  # 0 would mean that it goes on for ever
        self.progress.setValue(reviewed)
        self.progress.setFormat(
            "Nothing to review" if total == 0 else f"{reviewed:,} of {total:,} reviewed"
        )

    def show_work(self, done: int, total: int) -> None:
        """Say how far a longer piece of work is; hidden when it is done."""
        busy = done < total
        self.work.setVisible(busy)
        self.cancel.setVisible(busy)
        self.work.setMaximum(max(total, 1))
        self.work.setValue(done)

    def allow(self, session: bool, targets: int) -> None:
        """Enable what makes sense for so many chosen objects."""
        for widget in (self.previous, self.next, self.text, self.class_filter, self.status_filter):
            widget.setEnabled(session)
        for widget in (self.accept, self.later, self.delete, self.smooth, self.set_class):
            widget.setEnabled(session and targets > 0)
        for widget in (self.fix, self.split):
            widget.setEnabled(session and targets == 1)
        self.merge.setEnabled(session and targets > 1)

    def _lay_out(self, parent: QWidget, view: QWidget) -> None:
        proofread = QGroupBox("Proofread, most unsure first")
        grid = QGridLayout(proofread)
        grid.addWidget(self.progress, 0, 0, 1, 3)
        buttons = (self.previous, self.accept, self.next, self.fix, self.later, self.delete)
        for i, button in enumerate(buttons):
            grid.addWidget(button, 1 + i // 3, i % 3)
        grid.setSpacing(_SPACING)
        grid.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)

        rows = QVBoxLayout(parent)
        rows.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        rows.setSpacing(_SPACING)
        rows.addLayout(_row(self.text, self.class_filter, self.status_filter, stretch=(2, 3, 3)))
        rows.addWidget(view, 1)
        rows.addWidget(self.count)
        rows.addWidget(proofread)
        rows.addLayout(_row(self.class_name, self.set_class))
        rows.addLayout(_row(self.merge, self.split, self.smooth, self.radius))
        rows.addLayout(_row(self.work, self.cancel))


def connect(button: QPushButton, do: Callable[[], Any]) -> None:
    """Call `do` without Qt's argument at a click."""
    button.clicked.connect(lambda _checked=False: do())


def _button(text: str, explanation: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(explanation)
    button.setMinimumWidth(_NARROW)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keyboard to the table
    return button


def _box(explanation: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(explanation)
    box.setMinimumWidth(_NARROW)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return box


def _row(*widgets: QWidget, stretch: Sequence[int] = (1, 1, 1, 1)) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(_SPACING)
    for widget, share in zip(widgets, stretch, strict=False):
        row.addWidget(widget, share)
    return row
