"""The table of objects beside the picture: what is chosen in one is shown in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.calibration import Calibration
from napari_hqsam.plugin.annotate.cut_line import CutLine
from napari_hqsam.plugin.annotate.listing import Listing
from napari_hqsam.plugin.annotate.navigation import go_to
from napari_hqsam.plugin.label_folder import layer_axes
from napari_hqsam.plugin.objects import LayerFeatures, ObjectsWidget, with_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.session.session import Session


class ObjectsTab:
    """Shows the objects of the current session.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layers : LabelLayers
    sessions : Sessions

    Attributes
    ----------
    widget : ObjectsWidget

    Signals
    -------
    failed(str)
        One line for the user.
    reopened()
        An object's prompts are pending again.
    """

    failed = Signal(str)
    reopened = Signal()

    def __init__(self, viewer: ViewerModel, layers: LabelLayers, sessions: Sessions) -> None:
        self._viewer, self._layers, self._sessions = viewer, layers, sessions
        self._listed: WeakSet[Session] = WeakSet()
        self._features: LayerFeatures | None = None
        self._to_cut = 0
        self._then: tuple[Session, Callable[[], object]] | None = None  # once it is listed
        self.widget = ObjectsWidget()
        self._cut = CutLine(viewer)
        self._listing = Listing()
        self.widget.go_to.connect(self._go_to)
        self.widget.reopen.connect(self.reopen)
        self.widget.split_wanted.connect(self._begin_cut)
        self._cut.drawn.connect(self._split)
        self._listing.listed.connect(self._on_listed)
        self._listing.failed.connect(self.failed.emit)
        sessions.switched.connect(self._show)
        sessions.began.connect(self._list)
        sessions.made.connect(lambda _labels: self._show(sessions.current))

    def is_listed(self, session: Session) -> bool:
        """Whether all objects that the labels held at the beginning are known."""
        return session in self._listed

    def once_listed(self, do: Callable[[], object]) -> None:
        """Do something as soon as all objects of the current session are known."""
        session = self._sessions.current
        if session is None or self.is_listed(session):
            do()
        else:
            self._then = (session, do)

    def reopen(self, number: int) -> None:
        """Go on with an object: show it, and make its prompts the pending ones."""
        session = self._sessions.current
        if session is not None:
            self._go_to(number)
            try:
                session.reopen(number)
            except HQSAMError as error:
                self.failed.emit(str(error))
                return
            self.reopened.emit()

    def close(self) -> None:
        """Write the features, end the thread."""
        self._cut.end()
        self._listing.close()
        if self._features is not None:
            self._features.close()
            self._features = None

    def _show(self, session: Session | None) -> None:
        if self._features is not None:
            self._features.close()
            self._features = None
        labels = None if session is None else self._sessions.labels_of(session)
        if session is None or labels is None:
            self.widget.set_session(session)
            return
        self.widget.set_session(session, calibration(labels), labels.get_color)
        self._features = LayerFeatures(session, self.widget.table, [labels])

    def _list(self, session: Session, labels: Labels | None) -> None:
        """A session has begun: find what its labels hold already."""
        if labels is None:
            self._listed.add(session)
            return
        large = self._layers.large(labels)
        self._listing.look(session, labels.data if large is None else large.store)

    def _on_listed(self, session: Session, found: list[Any]) -> None:
        labels = self._sessions.labels_of(session)
        if labels is not None:
            session.adopt(with_features(found, labels.features))
            self._listed.add(session)
            if self._then is not None and self._then[0] is session is self._sessions.current:
                (_, do), self._then = self._then, None
                do()

    def _go_to(self, number: int) -> None:
        session = self._sessions.current
        labels = None if session is None else self._sessions.labels_of(session)
        if session is not None and labels is not None and number in session.objects:
            go_to(self._viewer, labels, session.objects[number])

    def _begin_cut(self, number: int) -> None:
        session = self._sessions.current
        labels = None if session is None else self._sessions.labels_of(session)
        if labels is not None:
            self._to_cut = number
            self._go_to(number)
            try:
                self._cut.begin(labels)
            except HQSAMError as error:
                self.failed.emit(str(error))

    def _split(self, plane: Any, line: Any) -> None:
        session = self._sessions.current
        if session is not None:
            try:
                self._layers.flush()
                self.widget.select(session.split(self._to_cut, plane, line))
            except HQSAMError as error:
                self.failed.emit(str(error))


def calibration(labels: Labels) -> Calibration:
    """Steps and units of a layer."""
    return Calibration(
        layer_axes(labels),
        tuple(abs(float(s)) for s in labels.scale),
        tuple(str(unit) for unit in labels.units),
    )
