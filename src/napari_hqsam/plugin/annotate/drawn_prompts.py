"""The prompts that are drawn in the viewer, and those that the session has: kept the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.prompt_layers import PromptLayers

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.plugin.annotate.destination import Destination
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.plugin.preview import Preview
    from napari_hqsam.session.prompt import PromptItem
    from napari_hqsam.session.session import Session


class DrawnPrompts:
    """Makes the prompt layers, tells the session what is drawn, and draws what it has.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : callable
        The image that is annotated now; None if there is none, or the dock is closed.
    preview : Preview
        Its layer lies below those of the prompts.
    sessions : Sessions
    destination : Destination

    Attributes
    ----------
    layers : PromptLayers or None
        None until a tool is used.

    Signals
    -------
    changed()
        The user has drawn, moved or deleted a prompt.
    dragging(tuple of PromptItem)
        As that of `PromptLayers`.
    shown()
        What the session has was drawn instead.
    made(list of Layer)
        The layers are there.
    failed(str)
        One line for the user.
    """

    changed = Signal()
    dragging = Signal(tuple)
    shown = Signal()
    made = Signal(list)
    failed = Signal(str)

    def __init__(
        self,
        viewer: ViewerModel,
        image: Callable[[], Image | None],
        preview: Preview,
        sessions: Sessions,
        destination: Destination,
    ) -> None:
        self._viewer, self._image, self._preview = viewer, image, preview
        self._sessions, self._destination = sessions, destination
        self.layers: PromptLayers | None = None
        self._of: Image | None = None
        self._taking = False
        sessions.prompts_changed.connect(self.show)
        sessions.switched.connect(self._on_switched)

    @property
    def elsewhere(self) -> bool:
        """Whether the layers are those of another image."""
        return self.layers is not None and self._of is not self._image()

    def make(self) -> PromptLayers:
        """The layers that prompts are drawn in, made if they are not there."""
        image = self._image()
        assert image is not None
        if self.layers is None or not self.layers.alive or self._of is not image:
            self.remove()
            self._preview.prepare(image)
            self.layers, self._of = PromptLayers(self._viewer, image), image
            self.layers.changed.connect(self._on_changed)
            self.layers.dragging.connect(lambda items: self.dragging.emit(items))
            self.made.emit([self.layers.points, self.layers.shapes])
            self.show()
        return self.layers

    def remove(self) -> None:
        """Take the layers away; the session keeps what was drawn in them."""
        layers, self.layers, self._of = self.layers, None, None
        if layers is not None:
            layers.remove()

    def take(self, items: tuple[PromptItem, ...]) -> None:
        """Let the session know of the prompts, or the user why it cannot have them."""
        image = self._image()
        if image is None:
            return
        try:
            self.hand_over(image, items)
        except HQSAMError as error:
            self.failed.emit(str(error))

    def hand_over(self, image: Image, items: tuple[PromptItem, ...]) -> None:
        """Make these the prompts of the session; a step that can be undone.

        Raises
        ------
        HQSAMError
            If the chosen labels cannot have a session.
        """
        self._taking = True  # what begins with these prompts does not take them away
        try:
            self._destination.session(image).set_prompts(items)
        finally:
            self._taking = False

    def show(self) -> None:
        """Draw the prompts that the session has, after undo and the like."""
        session = self._sessions.current
        pending = () if session is None else session.prompts
        if self._taking or self._image() is None or (self.layers is None and not pending):
            return
        self.make().show(pending)
        self.shown.emit()

    def _on_changed(self) -> None:
        if self.layers is not None:
            self.changed.emit()  # the journal is written while the mask is computed
            self.take(self.layers.items())

    def _on_switched(self, session: Session | None) -> None:
        """Other labels are chosen: their prompts, or if they have none those that are drawn."""
        if session is not None and session.prompts:
            self.show()
        elif self._image() is not None and self.layers is not None and not self._taking:
            drawn = self.layers.items()
            kept = [item for item in drawn if item.kind != "label"]  # it is in the labels before
            if len(kept) < len(drawn):
                self.layers.show(kept)
                self.shown.emit()
