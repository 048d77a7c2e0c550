"""The session of each Labels layer, and the one of the layer that the first object will make."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.annotate.pending_labels import PendingLabels
from napari_hqsam.plugin.label_folder import layer_axes, needs_store
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.header import Header
from napari_hqsam.session.journal import Journal
from napari_hqsam.session.recovery import discard
from napari_hqsam.session.session import Session

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.subjects import Subjects
    from napari_hqsam.session.prompt import PromptItem


class Sessions:
    """Which session the dock works in. Sessions begin with their first step.

    Parameters
    ----------
    layers : LabelLayers
    subjects : Subjects
        What is known of the image.

    Attributes
    ----------
    current : Session or None
    kept : datetime or None
        When the journal last kept a step.

    Signals
    -------
    switched(Session or None)
        Another one is current.
    began(Session, Labels or None)
        A session has begun, with a layer that was there or one to be made.
    made(Labels)
        The first object has made a layer.
    changed, prompts_changed, stepped, failed
        As those of the current session.
    """

    switched = Signal(object)
    began = Signal(object, object)
    made = Signal(object)
    changed = Signal(frozenset)
    prompts_changed = Signal()
    stepped = Signal()
    failed = Signal(str)

    def __init__(self, layers: LabelLayers, subjects: Subjects) -> None:
        self._layers, self._subjects = layers, subjects
        self._of: WeakKeyDictionary[Labels, Session] = WeakKeyDictionary()
        self._pending: Session | None = None
        self._index: tuple[int, ...] | None = None  # the time point that it is for
        self.current: Session | None = None
        self.kept: datetime | None = None
        self._relayed: list[tuple[Any, Callable[..., None]]] = []

    def show(self, labels: Labels | None) -> None:
        """Work with the session of this layer, if it has begun; None for a layer to be made."""
        self._switch(self._pending if labels is None else self._of.get(labels))

    def begun(
        self,
        image: Image,
        labels: Labels | None,
        new: Callable[[], Labels],
        index: tuple[int, ...] | None = None,
    ) -> Session:
        """The session of a layer, begun if it had not.

        Parameters
        ----------
        image : napari.layers.Image
        labels : napari.layers.Labels or None
            None for a layer that the first object makes.
        new : callable
            Makes it.
        index : tuple of int, optional
            Along the leading axes of the image, where that layer is for this alone.

        Raises
        ------
        HQSAMError
            If the labels on disk cannot be made.
        """
        shape = _shape(image, index)
        if labels is None and needs_store(shape):  # at once, so that its journal knows where
            labels = new()
            self.made.emit(labels)
        found = self._pending if labels is None else self._of.get(labels)
        prompts: tuple[PromptItem, ...] = ()
        if labels is None and index != self._index:
            found = None  # the one that waits is for another time point
        if found is None:
            if self._pending is not None:  # its prompts go where their object will go
                prompts = self._pending.prompts
                self._drop_pending()
            array: Any
            if labels is None:
                array = PendingLabels(shape, lambda: self._make(new))
            else:
                array = self._layers.array(labels)
            found = Session(array, self._journal(image, array, index))
            found.set_prompts(prompts)
            if labels is None:
                self._pending, self._index = found, index
            else:
                self._adopt(labels, found)
            self.began.emit(found, labels)
        self._switch(found)
        return found

    def restored(self, labels: Labels, session: Session) -> None:
        """Go on with a session that was found again."""
        self._adopt(labels, session)
        self.began.emit(session, labels)
        self._switch(session)

    def forget_pending(self) -> None:
        """Another image: the labels that were not made yet are not made any more."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            if self.current is pending:
                self._switch(None)
            pending.close()

    def _drop_pending(self) -> None:
        """Forget it for good: its prompts live on in another session."""
        journal = None if self._pending is None else self._pending.journal
        self.forget_pending()
        if journal is not None:
            with suppress(HQSAMError, OSError):  # it is offered once more, that is all
                discard(journal.path)

    def close_one(self, labels: Labels) -> bool:
        """A layer was deleted; whether something of it was not saved."""
        session = self._of.pop(labels, None)
        if session is None:
            return False
        if self.current is session:
            self._switch(None)
        session.close()
        return session.dirty

    def close(self) -> None:
        """End all; what is not saved is found again next time."""
        self.forget_pending()
        self._switch(None)
        for session in self._of.values():
            session.close()
        self._of.clear()

    def has(self, labels: Labels) -> bool:
        """Whether the session of a layer has begun."""
        return labels in self._of

    def labels_of(self, session: Session) -> Labels | None:
        """The layer of a session."""
        return next((layer for layer, other in self._of.items() if other is session), None)

    def _make(self, new: Callable[[], Labels]) -> Any:
        """The first object makes its layer."""
        session, self._pending = self._pending, None
        labels = new()
        if session is not None:
            self._adopt(labels, session)
        self.made.emit(labels)
        return self._layers.array(labels)

    def _adopt(self, labels: Labels, session: Session) -> None:
        self._of[labels] = session
        array = self._layers.array(labels)
        array.painted.connect(lambda edits: self._painted(session, edits))

    def _relay(self, signal: Any, slot: Callable[..., None]) -> None:
        signal.connect(slot)
        self._relayed.append((signal, slot))

    def _on_step(self) -> None:
        if self.current is not None and self.current.journal is not None and self.current.dirty:
            self.kept = datetime.now(UTC)
        self.stepped.emit()

    def _painted(self, session: Session, edits: list[Any]) -> None:
        try:
            session.painted(edits)
        except HQSAMError as error:
            self.failed.emit(str(error))

    def _journal(self, image: Image, array: Any, index: tuple[int, ...] | None) -> Journal | None:
        """A new journal; None, and a line for the user, where none can be written."""
        try:
            source, limits, model = self._subjects.about(image)
            header = Header.of(
                array,
                Fingerprint.of(source),
                str(image.source.path or image.name),
                layer_axes(image),
                model=model,
                contrast=limits,
                extra={"layer": image.name, "index": list(index or ())},
            )
            return Journal.create(None, header, array)
        except (HQSAMError, OSError) as error:
            self.failed.emit(f"no journal is kept, save often: {error}")
            return None

    def _switch(self, session: Session | None) -> None:
        if session is self.current:
            return
        for signal, slot in self._relayed:
            signal.disconnect(slot)
        self._relayed = []
        self.current = session
        if session is not None:
            self._relay(session.changed, lambda ids: self.changed.emit(ids))
            self._relay(session.prompts_changed, lambda: self.prompts_changed.emit())
            self._relay(session.stepped, self._on_step)
            self._relay(session.failed, lambda line: self.failed.emit(line))
        self.kept = None
        self.switched.emit(session)


def _shape(image: Image, index: tuple[int, ...] | None) -> tuple[int, ...]:
    """Shape of labels that fit an image, all of it or these leading indices alone."""
    shape = list(spatial_shape(image))
    for axis in range(len(index or ())):
        shape[axis] = 1
    return tuple(shape)
