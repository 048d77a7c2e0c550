"""Work that was not saved when the program ended: offered when its image is opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hqsam.session.recovery import Unfinished


class RecoveryBar(QWidget):
    """One line and three buttons, there only if something was found.

    Signals
    -------
    restore(Unfinished)
    discard(Unfinished)
    """

    restore = Signal(object)
    discard = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._found: list[Unfinished] = []
        self.text = QLabel("")
        self.text.setWordWrap(True)
        self.restore_button = QPushButton("Restore")
        self.later_button = QPushButton("Later")
        self.discard_button = QPushButton("Discard")
        self.restore_button.setToolTip("Bring the objects back, with every step to undo.")
        self.later_button.setToolTip("Keep it; it is offered again next time.")
        self.discard_button.setToolTip("Delete it for good.")
        row = QHBoxLayout()
        for button in (self.restore_button, self.later_button, self.discard_button):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.restore_button.clicked.connect(lambda: self._next(self.restore))
        self.later_button.clicked.connect(lambda: self._next(None))
        self.discard_button.clicked.connect(lambda: self._next(self.discard))
        self.hide()

    def offer(self, found: Sequence[Unfinished]) -> None:
        """Show what was found, the newest first; nothing hides the bar."""
        self._found = list(found)
        self.setVisible(bool(found))
        if found:
            newest = found[0]
            what = f"{newest.objects} object{'s' if newest.objects != 1 else ''}"
            if newest.prompts:
                what += " and prompts"
            more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
            self.text.setText(
                f"Work on this image was not saved: {what} of {newest.when:%d %b, %H:%M}{more}."
            )

    def _next(self, signal: object) -> None:
        """Do what was chosen with the newest, then offer the next."""
        if not self._found:
            return
        chosen = self._found.pop(0)
        self.offer(self._found)
        if signal is not None:
            signal.emit(chosen)  # type: ignore[attr-defined]
