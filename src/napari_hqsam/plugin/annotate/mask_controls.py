"""What is done with the predicted masks before they are kept: whose boundary, which candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSlider, Label, PushButton, SpinBox
from psygnal import Signal

from napari_hqsam.plugin.annotate.section import Fold, column, form, row

if TYPE_CHECKING:
    from napari_hqsam.modeling import Mode

MODES: list[tuple[str, Mode]] = [("HQ + SAM", "hq+sam"), ("HQ only", "hq"), ("SAM only", "sam")]


class MaskControls:
    """Boundary, threshold, candidates and cleaning; all act on the preview at once.

    Signals
    -------
    changed()
        Another mask is wanted of the same prompts.
    flipped(int)
        The next candidate, or the one before.
    """

    changed = Signal()
    flipped = Signal(int)

    def __init__(self) -> None:
        self.mode: Any = ComboBox(label="Boundary", choices=MODES)
        self.threshold: Any = FloatSlider(label="Threshold", min=-5, max=5, step=0.1, value=0)
        self.previous_candidate = PushButton(text="◀")
        self.candidate = Label(value="one mask")
        self.next_candidate = PushButton(text="▶")
        self.fill_holes: Any = CheckBox(text="Fill holes")
        self.keep_to_box: Any = CheckBox(text="Keep to box")
        self.min_size: Any = SpinBox(label="Min. size", min=0, max=10**9, value=0)
        self._all = column(
            form(self.mode),
            row(self.previous_candidate, self.candidate, self.next_candidate),
        )
        more = form(self.threshold, self.min_size)
        self._all.native.layout().addWidget(
            Fold("Threshold, cleaning", more, row(self.fill_holes, self.keep_to_box))
        )
        for button in (self.previous_candidate, self.next_candidate):
            button.max_width = 40
        self.show_candidate(0, [])
        self._explain()
        options = (self.mode, self.threshold, self.fill_holes, self.keep_to_box, self.min_size)
        for option in options:
            option.changed.connect(lambda: self.changed.emit())
        self.next_candidate.changed.connect(lambda: self.flipped.emit(1))
        self.previous_candidate.changed.connect(lambda: self.flipped.emit(-1))

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    @property
    def mode_name(self) -> Mode:
        """The boundary chosen, as `Segmenter` calls it."""
        return self.mode.value

    def show_candidate(self, chosen: int, scores: Sequence[float]) -> None:
        """Say which of several masks is on show, and how good the network thinks it is."""
        several = len(scores) > 1
        self.previous_candidate.enabled = self.next_candidate.enabled = several
        text = f"mask {chosen + 1} of {len(scores)}, score {scores[chosen]:.2f}" if several else "—"
        self.candidate.value = text

    def _explain(self) -> None:
        self.mode.tooltip = "Whose boundary: HQ-SAM's sum, the HQ token alone, or plain SAM."
        self.threshold.tooltip = "Above 0 masks get smaller, below 0 larger; 0 as trained."
        self.next_candidate.tooltip = "The next of three masks that fit the prompt."
        self.previous_candidate.tooltip = "The one before."
        self.candidate.tooltip = "For one object: flip through the masks that fit its prompt."
        self.fill_holes.tooltip = "Fill holes in the mask."
        self.keep_to_box.tooltip = "Cut off what lies outside the drawn box."
        self.min_size.tooltip = "Drop parts of fewer pixels than this; 0 keeps all."
