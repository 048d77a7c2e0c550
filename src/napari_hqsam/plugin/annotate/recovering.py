"""Finding work that was not saved, and bringing it back as a layer with its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import MemoryLabels, StoreLabels
from napari_hqsam.plugin.label_folder import STORE
from napari_hqsam.plugin.layers import crop_transform, insert_above, spatial_shape
from napari_hqsam.plugin.task import Task
from napari_hqsam.session import recovery
from napari_hqsam.session.fingerprint import Fingerprint

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.images import ImageSource
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.recovery_bar import RecoveryBar
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.plugin.task import Reporter
    from napari_hqsam.session.recovery import Unfinished
    from napari_hqsam.session.session import Session


class Recovering:
    """Looks for journals of the image on display, in a thread, and replays the one chosen.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    bar : RecoveryBar
    layers : LabelLayers
    sessions : Sessions

    Signals
    -------
    restored(Labels)
        The layer is there, with its session.
    failed(str)
        One line for the user.
    """

    restored = Signal(object)
    failed = Signal(str)

    def __init__(
        self, viewer: ViewerModel, bar: RecoveryBar, layers: LabelLayers, sessions: Sessions
    ) -> None:
        self._viewer, self._bar = viewer, bar
        self._layers, self._sessions = layers, sessions
        self._image: Image | None = None
        self._source: ImageSource | None = None
        self._next: tuple[Image, ImageSource] | None = None
        self.task = Task()
        self.task.done.connect(self._on_done)
        self.task.failed.connect(self.failed.emit)
        self.task.ended.connect(self._look)
        bar.restore.connect(self._restore)
        bar.discard.connect(self._discard)

    def look(self, image: Image | None, source: ImageSource | None) -> None:
        """Offer what there is of an image."""
        if image is self._image:
            return
        self._image, self._source = image, source
        self._bar.offer([])
        self.look_again()

    def look_again(self) -> None:
        """Offer what there is now: a layer was deleted."""
        if self._image is not None and self._source is not None:
            self._next = (self._image, self._source)
            self._look()

    def close(self) -> None:
        """Look and restore no more."""
        self._next = None
        self.task.close()

    def _look(self) -> None:
        if self._next is None or self.task.busy:
            return
        (image, source), self._next = self._next, None

        def work(_job: Reporter) -> Any:
            return image, recovery.unfinished(Fingerprint.of(source))

        self.task.start(work)

    def _restore(self, chosen: Unfinished) -> None:
        image, header = self._image, chosen.header
        if image is None:
            return

        def work(job: Reporter) -> Any:
            from napari_hqsam.labels.store import LabelStore

            labels: Any
            if header.store is None:
                labels = MemoryLabels(np.zeros(header.shape, dtype=header.dtype))
            else:  # it holds most of the steps already
                labels = StoreLabels(LabelStore.open(header.store))

            def progress(done: int, total: int) -> None:
                job.check()
                job.progress(done, total)

            return image, labels, recovery.restore(chosen.path, labels, progress)

        self.task.start(work)

    def _on_done(self, result: tuple[Any, ...]) -> None:
        if result[0] is not self._image:  # another image by now
            if len(result) == 3:
                result[2].close()
        elif len(result) == 2:
            self._bar.offer(result[1])
        else:
            self._show(*result)

    def _show(self, image: Image, found: MemoryLabels | StoreLabels, session: Session) -> None:
        """Make the layer of labels that were restored."""
        start = [0.0] * image.ndim
        header = session.journal.header if session.journal is not None else None
        for axis, at in enumerate((header.extra.get("index") if header else None) or ()):
            start[axis] = at
        if len(found.shape) != len(spatial_shape(image)):
            self.failed.emit(
                f"the labels have shape {found.shape}, which does not fit {image.name}"
            )
            session.close()
            return
        data: Any
        metadata: dict[str, str] = {}
        if isinstance(found, StoreLabels):
            levels = list(found.store.levels)
            data = levels if len(levels) > 1 else levels[0]
            metadata[STORE] = str(found.store.path)
        else:
            data = found.array
        placed = crop_transform(image, start)
        labels = Labels(data, name=f"{image.name} objects", metadata=metadata, **placed)
        insert_above(self._viewer, image, labels)
        session.move_to(self._layers.array(labels))
        self._sessions.restored(labels, session)
        self.restored.emit(labels)

    def _discard(self, chosen: Unfinished) -> None:
        try:
            recovery.discard(chosen.path)
        except HQSAMError as error:
            self.failed.emit(str(error))
