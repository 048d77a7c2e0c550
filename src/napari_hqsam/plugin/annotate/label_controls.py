"""Where objects go, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Label, LineEdit, PushButton, SpinBox
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter

from napari_hqsam.plugin.annotate.section import Fold, column, form, narrow, row, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_hqsam.plugin.large_labels import LargeLabels

OVERLAPS = [
    ("keep existing", "keep"),
    ("overwrite", "overwrite"),
    ("only background", "background"),
]


class LabelControls:
    """The Labels layer, the class and number of the next object, and what to do with it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are offered.
    hidden : callable
        Whether a Labels layer is not offered: the preview is none to commit into.
    """

    def __init__(self, viewer: ViewerModel, hidden: Callable[[Layer], bool]) -> None:
        def labels(_widget: Any) -> list[Labels]:
            found = [layer for layer in viewer.layers if isinstance(layer, Labels)]
            return [layer for layer in found if not hidden(layer)]

        self.labels = ComboBox(label="Labels", choices=labels, nullable=True)
        self.kept = Label(value="", visible=False)
        self.copy_button = PushButton(text="Make a copy that can be edited", visible=False)
        self.class_name = LineEdit(label="Class")
        self.time: Any = ComboBox(
            label="New layer for",
            choices=[("all time points", "all"), ("this time point", "this")],
            visible=False,
        )
        self.next_label: Any = SpinBox(label="Next label", value=1, min=1, max=2**31 - 1)
        self.overlap: Any = ComboBox(label="Overlap", choices=OVERLAPS)
        self.commit_button = PushButton(text="Commit")
        self.clear_button = PushButton(text="Clear")
        self.undo_button = PushButton(text="Undo", enabled=False)
        self.redo_button = PushButton(text="Redo", enabled=False)
        self._all = column(
            form(self.labels),
            self.kept,
            self.copy_button,
            self.commit_button,
            row(self.clear_button, self.undo_button, self.redo_button),
        )
        more = form(self.class_name, self.next_label, self.overlap, self.time)
        self._all.native.layout().addWidget(Fold("Class, number, overlap", more))
        narrow(self.labels)
        wrapped(self.kept, lines=2)
        self.labels.reset_choices()
        self._explain()

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    def show_large(self, large: LargeLabels | None) -> None:
        """Say where labels are kept that are too large for one layer, and whether to paint here."""
        if not self.copy_button.native.isHidden():  # `visible` is false in a tab that is not open
            return
        self.kept.visible = large is not None
        if large is not None:
            here = "" if large.close_by else " Zoom in to paint."
            self.kept.value = f"On disk: {large.store.path.name}.{here}"
            self.kept.tooltip = str(large.store.path)

    def show_problem(self, problem: str | None) -> None:
        """Say why the chosen layer cannot be edited, and offer a copy; None if it can."""
        if problem is None and not self.copy_button.native.isHidden():
            self.kept.visible = False
        self.copy_button.visible = problem is not None
        if problem is not None:
            self.kept.visible = True
            self.kept.value = f"{problem}."

    def offer_times(self, offered: bool) -> None:
        """Whether the image is a film, of which labels may show one time point."""
        self.time.visible = offered

    def show_steps(self, undo: str | None, redo: str | None) -> None:
        """Offer to take back the last step, and to do it again."""
        for button, word, what in (
            (self.undo_button, "Undo", undo),
            (self.redo_button, "Redo", redo),
        ):
            button.enabled = what is not None
            button.tooltip = f"{word}: {what}" if what else f"There is nothing to {word.lower()}."

    def show_classes(self, names: Iterable[str]) -> None:
        """Offer the classes in use while one is typed."""
        completer = QCompleter(sorted(set(names) - {""}))
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.class_name.native.setCompleter(completer)

    def _explain(self) -> None:
        self.labels.tooltip = "Where objects go; ----- makes a new layer."
        self.copy_button.tooltip = "This layer cannot be edited; its copy can."
        self.class_name.tooltip = "What the next objects are, such as nucleus."
        self.time.tooltip = "Whether a new Labels layer is for the whole film or for what you see."
        self.next_label.tooltip = "The number that the next object gets."
        self.overlap.tooltip = (
            "Where an object overlaps another: the other keeps its pixels, and both keep their "
            "whole mask; the new one takes them; or its mask is cut to the background."
        )
        self.commit_button.tooltip = "Keep the preview as objects of the Labels layer."
        self.clear_button.tooltip = "Remove the prompts on this plane."
