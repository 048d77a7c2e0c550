"""From prompts to objects: what is asked of the engine, shown, and committed to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.annotate.drawn_prompts import DrawnPrompts
from napari_hqsam.plugin.annotate.status_line import HINT
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.request import corrected
from napari_hqsam.session.prompt import PromptItem, group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.plugin.annotate.asking import Asking
    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.destination import Destination
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.plugin.annotate.subjects import Subjects
    from napari_hqsam.plugin.engine import Engine
    from napari_hqsam.plugin.preview import Preview
    from napari_hqsam.plugin.prompt_layers import PromptLayers, Tool
    from napari_hqsam.plugin.request import Request
    from napari_hqsam.segmentation import Mask


class Annotator:
    """Asks for the masks of the prompts on display, shows them, and commits them.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : Controls
    subjects : Subjects
    engine : Engine
    preview : Preview
    sessions : Sessions
    destination : Destination
    asking : Asking

    Attributes
    ----------
    drawn : DrawnPrompts
    masks : list of Mask
        Those on show, one for each prompted object.
    destination : Destination

    Signals
    -------
    failed(str)
        One line for the user.
    """

    failed = Signal(str)

    def __init__(
        self,
        viewer: ViewerModel,
        controls: Controls,
        subjects: Subjects,
        engine: Engine,
        preview: Preview,
        sessions: Sessions,
        destination: Destination,
        asking: Asking,
    ) -> None:
        self._viewer, self._controls, self._subjects = viewer, controls, subjects
        self._engine, self._preview = engine, preview
        self._sessions, self.destination = sessions, destination
        self._asking = asking
        self.drawn = DrawnPrompts(viewer, self._image, preview, sessions, destination)
        self.masks: list[Mask] = []
        self._shown: Request | None = None  # what the masks answer
        self._request: Request | None = None  # what was asked last
        self._items: list[tuple[PromptItem, ...]] = []  # of each object of that
        self._plane: ArrayPlane | None = None
        self._candidate = self._candidates = 0
        self.drawn.changed.connect(self._on_prompts)
        self.drawn.shown.connect(self._on_shown)
        self.drawn.dragging.connect(self.predict)
        self.drawn.failed.connect(lambda line: self.failed.emit(line))

    @property
    def prompts(self) -> PromptLayers | None:
        """The layers that prompts are drawn in; None until a tool is used."""
        return self.drawn.layers

    # What the user does

    def use(self, tool: Tool) -> None:
        """Take up a tool: the prompt layers are made on first use."""
        if self._controls.image.image.value is None:
            self.failed.emit("open an image first")
            return
        self.drawn.make().use(tool)
        self._controls.prompts.show_tool(tool)

    def predict(self, items: Sequence[PromptItem] | None = None) -> None:
        """Ask for the masks of the prompts on the plane on display; the preview follows.

        Parameters
        ----------
        items : sequence of PromptItem, optional
            Preliminary ones, while something is being drawn; by default those in the layers.
        """
        image = self._image()
        if image is None or self.prompts is None or not self.prompts.alive:
            return
        try:
            plane = self._plane = displayed_plane(self._viewer, image)
            here = [i for i in self.prompts.items() if i.plane == plane] if items is None else items
            grouped = group(
                [i for i in here if i.plane == plane],
                lambda item: self.destination.mask(image, item),
            )
            if not grouped:
                self.forget()
                return
            prompts = tuple(p for p, _ in grouped)
            request = self._asking.request(
                image,
                plane,
                prompts,
                corrected(self._shown, self.masks, plane, prompts),
                self._candidate,
            )
        except HQSAMError as error:
            self.failed.emit(str(error))
            return
        self._items = [each for _, each in grouped]
        self._request = request
        self._controls.status.show_busy(True)
        self._engine.request(self._request)

    def flip(self, step: int) -> None:
        """Show another of the masks that fit the prompt."""
        if self._candidates > 1:
            self._candidate = (self._candidate + step) % self._candidates
            self.predict()

    def toggle_preview(self) -> None:
        """Hide the preview to see the image, or show it again."""
        if self.masks and self._preview.layer is not None:
            self._preview.layer.visible = not self._preview.layer.visible

    def toggle_sign(self) -> None:
        """Go on with negative clicks after positive ones, or the other way round."""
        if self.prompts is not None and self.prompts.alive:
            self.use("positive" if self.prompts.tool == "negative" else "negative")

    def commit(self) -> None:
        """Write the previewed masks into the Labels layer, and clear their prompts."""
        image = self._image()
        if image is None:
            return
        if self._engine.busy:
            self._controls.status.say("Wait for the preview, or cancel; then commit.")
            return
        if not self.masks or self._shown is None:
            self._controls.status.say(
                "Nothing to commit yet: give a prompt and wait for the preview."
            )
            return
        if self._shown is not self._request:  # the answer is under way, or was cancelled, or failed
            self._controls.status.say(
                "The preview does not show these prompts yet: wait, or add or move one."
            )
            return
        try:
            if self.prompts is not None:  # perhaps drawn when other labels were chosen
                self.drawn.hand_over(image, self.prompts.items())
            told = self.destination.commit(image, self._shown, self.masks, self._items)
        except HQSAMError as error:
            self.failed.emit(str(error))
            return
        self._controls.status.say(told)

    def clear(self) -> None:
        """Remove the prompts of this plane, and the preview."""
        self._engine.cancel()
        if self.prompts is not None and self.prompts.alive and self._plane is not None:
            self.drawn.take(tuple(i for i in self.prompts.items() if i.plane != self._plane))
            self.drawn.show()
        self._controls.status.say(HINT)

    def from_label(self, number: int) -> None:
        """Improve an object that is there: its mask on this plane becomes a rough mask."""
        image = self._image()
        if image is None or self._controls.labels.labels.value is None:
            self.failed.emit("choose the Labels layer that has the object")
            return
        try:
            session = self.destination.session(image)
            if number not in session.objects:
                raise HQSAMError(
                    f"there is no object {number}: select one in the table, or pick it with the "
                    "Labels layer's colour picker"
                )
            plane = displayed_plane(self._viewer, image)
            session.reopen(number)
            session.set_prompts((PromptItem("label", plane, label=number),))
        except HQSAMError as error:
            self.failed.emit(str(error))
            return
        self.drawn.show()

    def hovered(self, here: Callable[[], tuple[Image, Request] | None]) -> Any:
        """What `here` gives, if no prompt is pending on this plane."""
        image = self._image()
        if image is None or self.masks or self._request is not None:
            return None
        self._preview.prepare(image)
        return here()

    # What happens then

    def step(self) -> None:
        """The sliders moved; layers that grow or shrink also move them, to where they were."""
        found = self._subjects.on_display()
        if found is not None and found[1] != self._plane:
            self._plane = found[1]
            self._candidate = 0
            self.predict()

    def forget(self) -> None:
        """Show no masks, expect none."""
        self.masks, self._shown, self._request = [], None, None
        self._candidate = self._candidates = 0
        self._controls.masks.show_candidate(0, [])
        self._preview.clear()

    def leave_image(self) -> None:
        """Another image is chosen: its prompt layers go, they would lie in the wrong place."""
        if self.drawn.elsewhere:
            self._engine.cancel()
            self.forget()
            self.drawn.remove()
            self._preview.remove()

    def layer_removed(self, layer: Layer) -> None:
        """The user has deleted a layer; if it is the preview or held prompts, they go."""
        if self._preview.layer is not None and layer is self._preview.layer:
            self._preview.layer = None
            self.forget()
        elif self.prompts is not None and self.prompts.owns(layer):
            self._engine.cancel()
            self.drawn.remove()
            self.forget()
            self.drawn.take(())

    def on_answer(self, request: Request, masks: list[Mask]) -> None:
        """Show the masks of the newest request."""
        image = self._image()
        if image is None or request is not self._request:
            return
        self.masks, self._shown = masks, request
        if not request.multimask:
            self._candidates = 0
            self._controls.masks.show_candidate(0, [])
        self._preview.show(image, request.plane, masks)
        self._controls.status.show_device()
        self._controls.status.show_masks(masks)

    def on_candidates(self, request: Request, masks: Sequence[Mask]) -> None:
        """Offer the masks that fit the prompt of a single object."""
        if request is self._request:
            self._candidates = len(masks)
            self._controls.masks.show_candidate(request.candidate, [m.score for m in masks])

    def _on_prompts(self) -> None:
        """The user has drawn, moved or deleted a prompt."""
        self._candidate = 0
        if self.drawn.layers is not None:  # perhaps taken up with napari's own buttons
            self._controls.prompts.show_tool(self.drawn.layers.tool)
        self.predict()

    def _on_shown(self) -> None:
        """Other prompts are on show than those that were asked about."""
        self.forget()
        self.predict()

    def _image(self) -> Image | None:
        return None if self._engine.closed else self._controls.image.image.value
