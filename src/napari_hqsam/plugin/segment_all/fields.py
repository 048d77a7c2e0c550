"""Controls with their names, one below the other, in two straight columns."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import Container, Label

from napari_hqsam.plugin.annotate.section import row

_WIDEST = "Max. size, µm²"


def field(name: str, *widgets: Any) -> Container:
    """A named row of controls; `rename` gives it another name."""
    label: Any = Label(value=name)
    # The font may be a little larger once it is on the screen.
    label.min_width = round(1.15 * label.native.fontMetrics().horizontalAdvance(_WIDEST))
    label.native.setFixedWidth(label.min_width)
    return row(label, *widgets)


def rename(named: Container, name: str) -> None:
    """Give a row another name."""
    label: Any = named[0]
    label.value = name
