"""How the controls of the dock are laid out."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import Container
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QScrollArea, QSizePolicy, QWidget
from superqt import QCollapsible


def row(*widgets: Any) -> Container:
    """Controls beside each other."""
    made = Container(widgets=list(widgets), layout="horizontal", labels=False)
    made.margins = (0, 0, 0, 0)
    made.native.layout().setSpacing(4)
    return made


def form(*widgets: Any) -> Container:
    """Controls below each other, with their names."""
    made = Container(widgets=list(widgets))
    made.margins = (0, 0, 0, 0)
    made.native.layout().setSpacing(2)
    return made


def column(*widgets: Any) -> Container:
    """Rows and forms below each other."""
    made = Container(widgets=list(widgets), labels=False)
    made.margins = (0, 0, 0, 0)
    made.native.layout().setSpacing(4)
    return made


def wrapped(label: Any, lines: int = 1) -> None:
    """Let a text go on in the next line, with room for so many."""
    label.native.setWordWrap(True)
    # Word-wrapped labels do not ask for the height of their lines, at others' expense.
    label.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.min_height = lines * label.native.fontMetrics().lineSpacing()


def narrow(*boxes: Any) -> None:
    """Let drop-down lists be narrower than their longest line."""
    for box in boxes:
        box.native.setMinimumContentsLength(8)
        box.native.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )


class Fold(QCollapsible):
    """Controls that are seldom needed, behind a heading.

    Parameters
    ----------
    title : str
    *widgets : magicgui.widgets.Container or QWidget
    """

    def __init__(self, title: str, *widgets: Any) -> None:
        super().__init__(title, expandedIcon="▾", collapsedIcon="▸")
        self.setDuration(0)
        for layout, left, below in ((self.layout(), 0, 0), (self.content().layout(), 8, 4)):
            if layout is not None:
                layout.setContentsMargins(left, 0, 0, below)
        self._widgets = widgets  # magicgui deletes what nobody holds
        for widget in widgets:
            self.addWidget(getattr(widget, "native", widget))
        self.collapse(animate=False)


def scrolled(page: QWidget) -> QScrollArea:
    """A page that can be scrolled where the screen is small."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area
