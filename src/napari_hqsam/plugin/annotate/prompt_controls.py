"""The tools to show an object with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QGridLayout, QPushButton, QSizePolicy, QWidget

if TYPE_CHECKING:
    from napari_hqsam.plugin.prompt_layers import Tool

_TOOLS: dict[Tool, tuple[str, str]] = {
    "box": ("Box", "Draw boxes: each one is an object."),
    "positive": ("+ Click", "Click on the object."),
    "negative": ("− Click", "Click on what does not belong to the object."),
    "scribble": ("+ Scribble", "Draw a stroke along the object."),
    "negative scribble": ("− Scribble", "Draw a stroke over what does not belong to the object."),
    "polygon": ("Polygon", "Click around the object roughly; a double click ends it."),
    "lasso": ("Lasso", "Draw around the object roughly."),
    "ellipse": ("Ellipse", "Draw an ellipse around the object."),
}


class PromptControls(QWidget):
    """Buttons for the tools, for an object that is there already, and for a preview on hover.

    Signals
    -------
    used(str)
        A tool was taken up.
    from_label()
        The selected label shall be improved.
    hover(bool)
        Whether what is under the mouse shall be previewed.
    """

    used = Signal(str)
    from_label = Signal()
    hover = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self.buttons: dict[Tool, QPushButton] = {}
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for place, (tool, (text, tip)) in enumerate(_TOOLS.items()):
            button = self._button(text, tip, self._using(tool))
            button.setCheckable(True)
            self._group.addButton(button)
            self.buttons[tool] = button
            # the three that one needs most are larger
            if place < 3:
                grid.addWidget(button, 0, 2 * place, 1, 2)
            elif place < 5:
                grid.addWidget(button, 1, 3 * (place - 3), 1, 3)
            else:
                grid.addWidget(button, 2, 2 * (place - 5), 1, 2)
        self.label_button = self._button(
            "From label",
            "Improve an object that is there: the label selected in the Labels layer, or in the "
            "table of objects, becomes a rough mask.",
            self.from_label.emit,
        )
        grid.addWidget(self.label_button, 3, 0, 1, 3)
        self.hover_box = QCheckBox("Preview on hover")
        self.hover_box.setToolTip("Show what a click here would give, before you click.")
        self.hover_box.toggled.connect(self.hover.emit)
        grid.addWidget(self.hover_box, 3, 3, 1, 3)

    def show_tool(self, tool: Tool | None) -> None:
        """Show which tool is in the hand."""
        self._group.setExclusive(False)
        for name, button in self.buttons.items():
            button.setChecked(name == tool)
        self._group.setExclusive(True)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which key takes up which tool: `keys` by tool."""
        for name, button in self.buttons.items():
            text = button.text().partition("  ")[0]
            button.setText(f"{text}  {keys[name]}" if keys.get(name) else text)

    def _using(self, tool: Tool) -> Callable[[], Any]:
        return lambda: self.used.emit(tool)

    def _button(self, text: str, tip: str, clicked: Callable[[], Any]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda _checked=False: clicked())
        return button
