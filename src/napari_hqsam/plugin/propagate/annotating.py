"""The Annotate dock beside this one: whose image, labels and session are worked on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.plane import displayed_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.plugin.annotate import AnnotateWidget
    from napari_hqsam.session.session import Session

# As napari's own menu calls it, where it then hides and shows the same one.
_NAME = "Annotate (HQ-SAM)"


def annotate_dock(viewer: ViewerModel) -> AnnotateWidget | None:
    """The Annotate dock of a viewer, opened if it was not; None without a window."""
    from napari_hqsam.plugin.annotate import AnnotateWidget

    window: Any = getattr(viewer, "window", None)
    if window is None:
        return None
    for widget in window.dock_widgets.values():
        if isinstance(widget, AnnotateWidget):
            return widget
    made = AnnotateWidget(viewer)  # type: ignore[arg-type]
    window.add_dock_widget(made, name=_NAME, area="right", tabify=True)
    return made


def beside(widget: QWidget, other: QWidget) -> None:
    """Show a docked widget in a tab beside another one."""
    place, there = widget.parent(), other.parent()
    window = None if place is None else place.parent()
    if not (isinstance(place, QDockWidget) and isinstance(there, QDockWidget)):
        return
    floating = place.isFloating() or there.isFloating()
    if isinstance(window, QMainWindow) and there.parent() is window and not floating:
        window.tabifyDockWidget(there, place)


class Annotating:
    """What is annotated, and news of it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel

    Signals
    -------
    changed()
        Another image, other labels, another session.
    stepped()
        Something was done, undone or redone.
    pointed(list of int)
        The user has chosen objects in the table, or a label of the layer.
    """

    changed = Signal()
    stepped = Signal()
    pointed = Signal(list)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._dock: AnnotateWidget | None = None
        self._connected: list[Callable[[], object]] = []
        self._labels: Labels | None = None  # whose selected label is followed
        self._selected: list[int] = []  # in the table

    @property
    def dock(self) -> AnnotateWidget | None:
        """The dock, if it is open and was looked for."""
        return None if self._dock is None or self._dock.engine.closed else self._dock

    @property
    def image(self) -> Image | None:
        """The image that is annotated."""
        return None if self.dock is None else self.dock.controls.image.image.value

    @property
    def labels(self) -> Labels | None:
        """The labels that objects go into."""
        return None if self.dock is None else self.dock.controls.labels.labels.value

    @property
    def session(self) -> Session | None:
        """Their session, if it has begun."""
        return None if self.dock is None else self.dock.sessions.current

    def open(self) -> AnnotateWidget:
        """The dock, opened if need be.

        Raises
        ------
        HQSAMError
            If there is no window for it.
        """
        if self.dock is None:
            self._leave()
            self._dock = annotate_dock(self._viewer)
            if self._dock is None:
                raise HQSAMError("open Annotate first: Plugins > Annotate (HQ-SAM)")
            self._follow(self._dock)
        assert self._dock is not None
        return self._dock

    def begin(self) -> None:
        """Have a session; what is being prompted is committed.

        Raises
        ------
        HQSAMError
            If something is missing, or the labels cannot be edited.
        """
        dock, image = self.open(), self.image
        if image is None:
            raise HQSAMError("open an image first")
        self._commit(dock, image)
        if self.labels is None:
            self._choose(dock)
        if self.labels is None:
            raise HQSAMError("there is no object yet: prompt one on a slice, and commit it (Enter)")
        dock.layers.flush()  # what was painted last belongs to it
        dock.annotator.destination.session(image)

    def there(self) -> tuple[AnnotateWidget, Image, Labels, Session]:
        """The dock, and what it works on.

        Raises
        ------
        HQSAMError
            If something of it is missing.
        """
        dock, image, labels, session = self.dock, self.image, self.labels, self.session
        if dock is None or image is None or labels is None or session is None:
            raise HQSAMError("there is no object yet: prompt one on a slice, and commit it (Enter)")
        return dock, image, labels, session

    def close(self) -> None:
        """Listen no more."""
        self._leave()
        self._dock = None

    def _commit(self, dock: AnnotateWidget, image: Image) -> None:
        """Commit the prompts on display, if there are any: whoever propagates them means it."""
        pending = () if self.session is None else self.session.prompts
        if self._viewer.dims.ndisplay == 2 and pending:
            here = displayed_plane(self._viewer, image)
            pending = tuple(item for item in pending if item.plane == here)
        if not pending:
            return
        annotator, before = dock.annotator, self.session and self.session.last_step
        if annotator.masks and not dock.engine.busy:
            annotator.commit()
        if self.session is None or self.session.last_step is before:
            raise HQSAMError(
                "there are prompts that are not committed: wait for their preview and press "
                "Enter, or clear them (Shift-C)"
            )

    def _choose(self, dock: AnnotateWidget) -> None:
        """Choose the labels that are meant: the selected layer, or the only one."""
        offered = [layer for layer in dock.controls.labels.labels.choices if layer is not None]
        active = self._viewer.layers.selection.active
        if any(layer is active for layer in offered):
            dock.labels.choose(active)  # type: ignore[arg-type]
        elif len(offered) == 1:
            dock.labels.choose(offered[0])
        elif offered:
            raise HQSAMError("choose the Labels layer that has the objects, in Annotate")

    def _follow(self, dock: AnnotateWidget) -> None:
        for signal, slot in (
            (dock.controls.image.image.changed, self._on_changed),
            (dock.controls.labels.labels.changed, self._on_changed),
            (dock.sessions.switched, self._on_changed),
            (dock.sessions.stepped, self.stepped.emit),
            (dock.objects.widget.view.selection_changed, self._on_table),
        ):
            made = partial(_call, slot)
            signal.connect(made)
            self._connected.append(partial(signal.disconnect, made))
        self._on_changed()

    def _leave(self) -> None:
        for disconnect in self._connected:
            try:
                disconnect()
            except (RuntimeError, TypeError, ValueError):  # the dock is gone
                continue
        self._connected = []
        self._watch(None)

    def _on_changed(self) -> None:
        self._watch(self.labels)
        self.changed.emit()

    def _watch(self, labels: Labels | None) -> None:
        """Follow which label is selected in a layer, by hand or with the colour picker."""
        if labels is self._labels:
            return
        if self._labels is not None:
            self._labels.events.selected_label.disconnect(self._on_label)
        self._labels = labels
        if labels is not None:
            labels.events.selected_label.connect(self._on_label)

    def _on_label(self, _event: object = None) -> None:
        if self._labels is not None:
            self.pointed.emit([int(self._labels.selected_label)])

    def _on_table(self) -> None:
        selected = [] if self.dock is None else list(self.dock.objects.widget.view.selected)
        if selected != self._selected:  # the table also tells when its rows move
            self._selected = selected
            if selected:
                self.pointed.emit(selected)


def _call(slot: Callable[[], object], *_told: object) -> None:
    slot()
