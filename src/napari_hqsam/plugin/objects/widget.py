"""The table of objects as a widget: what the user does there becomes a step of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.compat import isalive
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.objects.batch import Batch
from napari_hqsam.plugin.objects.controls import ObjectsControls, connect
from napari_hqsam.plugin.objects.model import Colour, ObjectsModel
from napari_hqsam.plugin.objects.proofreading import Proofreading
from napari_hqsam.plugin.objects.table import ObjectTable
from napari_hqsam.plugin.objects.view import ObjectsView

if TYPE_CHECKING:
    from napari_hqsam.labels.calibration import Calibration
    from napari_hqsam.session.session import Session


class ObjectsWidget(QWidget):
    """All objects of a session: sorted, filtered, proofread, corrected.

    What is chosen is what is selected in the table, or else the object that is looked at.

    Parameters
    ----------
    parent : QWidget, optional

    Signals
    -------
    go_to(int)
        Show this object: the user chose it, or its turn has come. (For Qt all ids are plain
        objects, as they may exceed a C int.)
    reopen(int)
        Take up the prompts of this object again.
    split_wanted(int)
        Let the user draw a line through this object.
    """

    go_to = QtSignal(object)
    reopen = QtSignal(object)
    split_wanted = QtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._in_turn = False  # whether the object looked at was reached by proofreading
        self._proof = Proofreading({})
        self.model = ObjectsModel(self)
        self.view = ObjectsView(self.model)
        self.controls = ObjectsControls(self, self.view)
        self._batch = Batch(self)
        self._connect()
        self._show()

    @property
    def table(self) -> ObjectTable:
        """What the rows say."""
        return self.model.table

    @property
    def current(self) -> int | None:
        """The object that is looked at."""
        return self._proof.current

    @property
    def chosen(self) -> list[int]:
        """The objects that the buttons act on."""
        selected = self.view.selected
        return selected or ([] if self.current is None else [self.current])

    def set_session(
        self,
        session: Session | None,
        calibration: Calibration | None = None,
        colour_of: Colour | None = None,
    ) -> None:
        """Show the objects of another session, or none.

        Parameters
        ----------
        session : Session or None
        calibration : Calibration, optional
            Of its labels, for sizes in µm.
        colour_of : callable, optional
            The colour of a label, (r, g, b) or (r, g, b, a) from 0 to 1: `Labels.get_color`.
        """
        if self._session is not None:
            self._session.changed.disconnect(self._on_changed)
            self._batch.cancel()
        self._session = session
        objects = {} if session is None else session.objects
        self._proof = Proofreading(objects)
        self._proof.include(self.controls.filter.admits_kind)
        self._proof.came_back.connect(self._go)
        self.view.select([])  # ids of another session are other objects
        self.model.show(ObjectTable(objects, calibration), colour_of)
        if session is not None:
            session.changed.connect(self._on_changed)
        self._show()

    def select(self, labels: Iterable[int]) -> None:
        """Select objects that were chosen elsewhere, such as in the picture; nothing is emitted."""
        chosen = list(labels)
        self._look_at(chosen[0] if chosen else None)
        self.view.select(chosen)
        self._show_chosen()

    def recolour(self) -> None:
        """The labels have other colours now."""
        self.model.recolour()

    # What the user does

    def next_uncertain(self) -> None:
        """Go to the next object that nobody has reviewed."""
        self._go_or_say(self._proof.next())

    def previous_uncertain(self) -> None:
        """Go to the object before this one, reviewed or not."""
        self._go_or_say(self._proof.previous())

    def accept_current(self) -> None:
        """The chosen objects are right: go to the next."""
        self._leave(lambda session, labels: session.set_status(labels, "accepted"))

    def mark_to_fix(self) -> None:
        """The chosen objects are to be fixed later: go to the next."""
        self._leave(lambda session, labels: session.set_status(labels, "to fix"))

    def mark_new(self) -> None:
        """Nobody has reviewed the chosen objects."""
        self._do(lambda session, labels: session.set_status(labels, "new"))

    def fix_current(self) -> None:
        """Ask for the prompts of the chosen object."""
        self._ask(self.reopen, "fix")

    def delete_current(self) -> None:
        """Delete the chosen objects; when proofreading, go to the next."""
        if self._in_turn and self.current in self.chosen:
            self._leave(lambda session, labels: session.delete(labels))
        else:
            self._do(lambda session, labels: session.delete(labels))

    def merge_chosen(self) -> None:
        """Make the chosen objects one."""
        if len(self.chosen) < 2:
            show_info("HQ-SAM: select two or more objects to merge (Ctrl-click)")
            return
        label = self._do(lambda session, labels: session.merge(sorted(labels)))
        if label is not None:
            self.select([label])

    def split_current(self) -> None:
        """Ask for a line through the chosen object."""
        self._ask(self.split_wanted, "split")

    def smooth_chosen(self) -> None:
        """Smooth the outlines of the chosen objects, one step each."""
        session, radius = self._session, int(self.controls.radius.value())
        if session is None:
            return

        def smooth(label: int) -> None:
            if label in session.objects:  # it may have been deleted while others were smoothed
                session.smooth(label, radius)

        self._batch.start(self.chosen, smooth)

    def set_class_of_chosen(self, name: str | None = None) -> None:
        """Give the chosen objects a class; without a name, what is typed."""
        wanted = self.controls.class_name.currentText() if name is None else name
        self._do(lambda session, labels: session.set_class(labels, wanted.strip()))

    # What happens then

    def _leave(self, step: Callable[[Session, list[int]], object]) -> None:
        """Do what ends the review of the chosen objects, and go on from the one looked at."""
        labels, session = self.chosen, self._session
        if session is None:
            return
        if not labels:
            self.next_uncertain()
            return
        if self.current not in labels:
            self._look_at(labels[0])
        here = self.current
        try:
            there = self._proof.leave(labels, lambda: step(session, labels))
        except HQSAMError as error:
            self._warn(str(error))
            return
        self._show()
        if there is not None and there != here:
            self._go(there)
        elif there is None or self._proof.progress[0] == self._proof.progress[1]:
            show_info("HQ-SAM: all objects are reviewed")

    def _do(self, step: Callable[[Session, list[int]], Any]) -> Any:
        """Do something with the chosen objects; an error becomes one line."""
        labels = self.chosen
        if self._session is None or not labels:
            return None
        try:
            return step(self._session, labels)
        except HQSAMError as error:
            self._warn(str(error))
            return None

    def _ask(self, signal: Any, what: str) -> None:
        chosen = self.chosen
        if len(chosen) != 1:
            show_info(f"HQ-SAM: select one object to {what}")
            return
        self._look_at(chosen[0], in_turn=self._in_turn and chosen[0] == self.current)
        signal.emit(self.current)

    def _go_or_say(self, label: int | None) -> None:
        if label is None:
            show_info("HQ-SAM: there is no object to review")
        else:
            self._go(label)

    def _go(self, label: int) -> None:
        """The turn of an object has come."""
        self._look_at(label, in_turn=True)
        self.view.select([label])
        self._show_chosen()
        self.go_to.emit(label)

    def _on_went(self, label: int) -> None:
        self._look_at(label)
        self.go_to.emit(label)

    def _look_at(self, label: int | None, *, in_turn: bool = False) -> None:
        self._proof.current, self._in_turn = label, in_turn

    def _on_changed(self, labels: frozenset[int]) -> None:
        if isalive(self):
            self.model.refresh(labels)
            self._proof.refresh(labels)
            self._show()

    def _on_filter(self) -> None:
        wanted = self.controls.filter
        self.model.set_filter(wanted)
        self._proof.include(wanted.admits_kind)
        self._show()

    def _show(self) -> None:
        self.controls.offer_classes(self.table.classes())
        self.controls.show_progress(*self._proof.progress)
        self._show_chosen()

    def _show_chosen(self) -> None:
        chosen = len(self.chosen)
        self.controls.show_count(len(self.model.ids), len(self.table.objects), chosen)
        self.controls.allow(self._session is not None, chosen)

    def _warn(self, line: str) -> None:
        show_warning(f"HQ-SAM: {line}")

    # How it is put together

    def _connect(self) -> None:
        c = self.controls
        boxes = (c.class_filter.currentIndexChanged, c.status_filter.currentIndexChanged)
        for changed in (c.text.textChanged, *boxes):
            changed.connect(lambda _value: self._on_filter())
        connect(c.cancel, self._batch.cancel)
        c.class_line.returnPressed.connect(lambda: self.set_class_of_chosen())
        self.view.went.connect(self._on_went)
        self.view.selection_changed.connect(self._show_chosen)
        self._batch.progressed.connect(c.show_work)
        self._batch.failed.connect(self._warn)
        for button, text, key, do in (
            (c.accept, "Accept", "A", self.accept_current),
            (c.later, "Mark as to fix", "X", self.mark_to_fix),
            (c.fix, "Fix", "F", self.fix_current),
            (c.next, "Next to review", "N", self.next_uncertain),
            (c.previous, "Back", "B", self.previous_uncertain),
            (c.merge, "Merge", "M", self.merge_chosen),
            (c.split, "Split", "", self.split_current),
            (c.smooth, "Smooth", "", self.smooth_chosen),
            (c.set_class, "", "", self.set_class_of_chosen),
            (c.delete, "Delete", "Del", self.delete_current),
        ):
            connect(button, do)
            if text:
                self.view.add_action(text, key, button.toolTip(), do)
        self.view.add_action("Mark as new", "", "Review it again.", self.mark_new)
