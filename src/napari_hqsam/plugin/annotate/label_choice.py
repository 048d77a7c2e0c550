"""Which Labels layer is worked on, and what the dock shows of its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.session.draft import check_id

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.session.session import Session


class LabelChoice:
    """Follows the choice of a Labels layer, and the steps of its session.

    Parameters
    ----------
    controls : Controls
    layers : LabelLayers
    sessions : Sessions

    Signals
    -------
    chosen(Labels or None)
        Another layer was chosen.
    let_go()
        A layer was deleted that was not saved; its journal is complete.
    failed(str)
        One line for the user.
    """

    chosen = Signal(object)
    let_go = Signal()
    failed = Signal(str)

    def __init__(self, controls: Controls, layers: LabelLayers, sessions: Sessions) -> None:
        self._controls, self._layers, self._sessions = controls, layers, sessions
        self._showing = False
        self._wanted: int | None = None  # a number that was chosen before there is a session
        controls.labels.labels.changed.connect(self.follow)
        controls.labels.next_label.changed.connect(self._on_next_label)
        controls.labels.copy_button.changed.connect(self._copy)
        sessions.made.connect(self._on_made)
        sessions.began.connect(self._on_began)
        sessions.stepped.connect(self.show_steps)
        sessions.switched.connect(lambda _session: self.show_steps())

    def choose(self, labels: Labels | None) -> None:
        """Choose a layer, also one that has just been made."""
        self._controls.labels.labels.reset_choices()
        self._controls.labels.labels.value = labels

    def follow(self) -> None:
        """Work with the layer that is chosen."""
        self._wanted = None
        labels = self._controls.labels.labels.value
        self._sessions.show(labels)
        self.show_steps()
        self.chosen.emit(labels)

    def is_naparis(self, action: str, where: Any) -> bool:
        """Whether a key pressed on a layer is not for a session: undo, in labels that have none."""
        if action not in ("undo", "redo") or not isinstance(where, Labels):
            return False
        if self._sessions.has(where):
            self.choose(where)  # its own steps are meant
            return False
        return not self._layers.is_part(where)

    def removed(self, layer: Layer) -> str | None:
        """A layer was deleted; a line for the user if something of it is kept."""
        said = self._layers.removed(layer)
        if isinstance(layer, Labels) and self._sessions.close_one(layer):
            said = said or f"{layer.name} is gone; what was not saved of it can be restored."
            self.let_go.emit()
        return said

    def show_steps(self) -> None:
        """What can be undone, what comes next, what is saved."""
        session, c = self._sessions.current, self._controls
        labels = c.labels.labels.value
        self._showing = True
        if session is not None:
            c.labels.show_steps(session.can_undo, session.can_redo)
            c.status.show_saved(session.saved, self._sessions.kept if session.dirty else None)
            c.labels.next_label.value = session.next_id
            c.labels.show_classes({o.class_name for o in session.objects.values()})
        else:
            c.labels.show_steps(None, None)
            c.status.show_saved(None, None)
            c.labels.next_label.value = 1 if labels is None else self._layers.highest(labels) + 1
        self._showing = False
        problem, image = None, c.image.image.value
        if labels is not None and image is not None:
            problem = self._layers.problem(labels, image, int(c.labels.next_label.value))
        c.labels.show_problem(problem)

    def _on_made(self, labels: Labels) -> None:
        """The first object, or of a large image the first prompt, has made its layer."""
        wanted = self._wanted
        self.choose(labels)
        self._wanted = wanted

    def _on_began(self, session: Session, labels: Labels | None) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and labels is self._controls.labels.labels.value:
            self._number(session, wanted)

    def _copy(self) -> None:
        labels, image = self._controls.labels.labels.value, self._controls.image.image.value
        if labels is None or image is None:
            return
        try:
            self.choose(self._layers.copy(labels, image))
        except HQSAMError as error:
            self.failed.emit(str(error))

    def _on_next_label(self, number: int) -> None:
        if not self._showing:
            self._number(self._sessions.current, int(number))

    def _number(self, session: Session | None, number: int) -> None:
        """Give the next object this number, if it can have it."""
        labels = self._controls.labels.labels.value
        try:
            if session is not None:
                session.set_next_id(number)
            else:
                check_id(number, np.dtype(np.uint32 if labels is None else labels.dtype))
                self._wanted = number
        except HQSAMError as error:
            self.failed.emit(str(error))
            self.show_steps()
