"""Which Labels layer is worked on, and what the dock shows of its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.sessions import Sessions


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
    failed(str)
        One line for the user.
    """

    chosen = Signal(object)
    failed = Signal(str)

    def __init__(self, controls: Controls, layers: LabelLayers, sessions: Sessions) -> None:
        self._controls, self._layers, self._sessions = controls, layers, sessions
        self._showing = False
        controls.labels.labels.changed.connect(self.follow)
        controls.labels.next_label.changed.connect(self._on_next_label)
        controls.labels.copy_button.changed.connect(self._copy)
        sessions.made.connect(self._on_made)
        sessions.stepped.connect(self.show_steps)
        sessions.switched.connect(lambda _session: self.show_steps())

    def choose(self, labels: Labels | None) -> None:
        """Choose a layer, also one that has just been made."""
        self._controls.labels.labels.reset_choices()
        self._controls.labels.labels.value = labels

    def follow(self) -> None:
        """Work with the layer that is chosen."""
        labels, image = self._controls.labels.labels.value, self._controls.image.image.value
        self._sessions.show(labels)
        problem = None
        if labels is not None and image is not None:
            problem = self._layers.problem(labels, image)
        self._controls.labels.show_problem(problem)
        self.show_steps()
        self.chosen.emit(labels)

    def show_steps(self) -> None:
        """What can be undone, what comes next, what is saved."""
        session, c = self._sessions.current, self._controls
        labels = c.labels.labels.value
        self._showing = True
        if session is not None:
            c.labels.show_steps(session.can_undo, session.can_redo)
            c.status.show_saved(session.saved, self._sessions.kept)
            c.labels.next_label.value = session.next_id
            c.labels.show_classes({o.class_name for o in session.objects.values()})
        else:
            c.labels.show_steps(None, None)
            c.status.show_saved(None, None)
            c.labels.next_label.value = 1 if labels is None else self._layers.highest(labels) + 1
        self._showing = False

    def _on_made(self, labels: Labels) -> None:
        """The first object has made its layer."""
        self.choose(labels)

    def _copy(self) -> None:
        labels, image = self._controls.labels.labels.value, self._controls.image.image.value
        if labels is None or image is None:
            return
        try:
            self.choose(self._layers.copy(labels, image))
        except HQSAMError as error:
            self.failed.emit(str(error))

    def _on_next_label(self, number: int) -> None:
        session = self._sessions.current
        if self._showing or session is None:
            return
        try:
            session.set_next_id(int(number))
        except HQSAMError as error:
            self.failed.emit(str(error))
            self.show_steps()
