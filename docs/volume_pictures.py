"""Pictures of the dock Propagate, taken from the running program: ``tox -e docs-pictures``."""

from __future__ import annotations

from typing import Any

import numpy as np
from make_pictures import FOLDER, Session, wait

# The slice to begin with; boxes around nuclei there, and the one that is looked at.
SLICE = 16
FIRST = (63, 128, 95, 155)
OTHERS = [(136, 191, 166, 221), (191, 133, 221, 163), (74, 66, 104, 95)]


class Volume(Session):
    """The stack of nuclei with both docks."""

    def __init__(self) -> None:
        super().__init__("nuclei")
        viewer = self.viewer
        _, self.propagate = viewer.window.add_plugin_dock_widget("napari-hqsam", "Propagate")
        wait(seconds=1)
        viewer.dims.set_current_step(0, SLICE)
        viewer.reset_view()

    @property
    def labels(self) -> Any:
        return self.dock.controls.labels.labels.value

    def front(self, dock: Any) -> None:
        """Show one of the docks."""
        dock.parent().raise_()
        wait(seconds=0.5)

    def make(self, boxes: list[tuple[int, int, int, int]]) -> None:
        """Draw boxes, and commit what they give."""
        self.front(self.dock)
        self.dock.controls.prompts.buttons["box"].click()
        for box in boxes:
            self.hand.drag(*(0.25 * n for n in box))  # the hand counts in µm
        self.masks(len(boxes))
        self.dock.annotator.commit()
        wait()

    def run(self, button: Any) -> None:
        self.front(self.propagate)
        button.native.click()
        assert wait(lambda: not self.propagate.busy, 600), self.propagate.controls.message.value
        wait(seconds=0.5)

    def picture(self, name: str) -> None:
        wait(seconds=0.5)
        super().picture(name)


def volumes() -> None:
    """A nucleus in a box, through the stack; a correction; its neighbours, and all in 3-D."""
    session = Volume()
    viewer, controls = session.viewer, session.propagate.controls
    session.make([FIRST])
    session.front(session.propagate)
    session.picture("volumes-dock")
    session.run(controls.propagate)
    viewer.dims.set_current_step(0, SLICE + 3)
    session.picture("volumes-propagated")
    session.run(controls.worst)
    viewer.layers.selection.active = session.labels
    at = viewer.dims.current_step[0]
    found = np.argwhere(session.labels.data[at] == 1)
    if len(found):  # a stroke that takes away the outermost rows
        y, x = found[found[:, 0] < found[:, 0].min() + 2].T
        session.labels.data_setitem((np.full_like(y, at), y, x), 0)
    session.run(controls.again)
    session.picture("volumes-corrected")
    viewer.dims.set_current_step(0, SLICE)
    session.make(OTHERS)
    controls.objects.value = "slice"
    session.run(controls.propagate)
    viewer.dims.ndisplay = 3
    viewer.layers[0].visible = False
    viewer.reset_view()
    viewer.scene.camera.angles = (-10, 35, 60)
    viewer.scene.camera.zoom *= 1.3
    session.picture("volumes-3d")
    session.propagate.shut_down()
    session.close()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    volumes()
