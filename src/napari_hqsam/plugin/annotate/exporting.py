"""What there is to export now, and objects of a file taken into the labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.grid import Grid
from napari_hqsam.plugin.annotate.export_tab import ExportTab
from napari_hqsam.plugin.annotate.exports import Export
from napari_hqsam.plugin.annotate.objects_tab import calibration
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.session.record import NewObject

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.destination import Destination
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.objects_tab import ObjectsTab
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.plugin.annotate.subjects import Subjects


class Exporting:
    """Brings the Export tab together with the labels and the image on display.

    Attributes
    ----------
    tab : ExportTab
    """

    def __init__(
        self,
        controls: Controls,
        subjects: Subjects,
        layers: LabelLayers,
        sessions: Sessions,
        destination: Destination,
        objects: ObjectsTab,
    ) -> None:
        self._controls, self._subjects = controls, subjects
        self._layers, self._sessions = layers, sessions
        self._destination, self._objects = destination, objects
        self.tab = ExportTab(self._prepare, self._take_in)
        self.tab.written.connect(self._on_written)

    def _prepare(self) -> Export:
        labels: Labels | None = self._controls.labels.labels.value
        image: Image | None = self._controls.image.image.value
        if labels is None:
            raise HQSAMError("there is no Labels layer to export: commit an object, or choose one")
        self._layers.flush()
        large, session = self._layers.large(labels), self._sessions.current
        about = calibration(labels)
        name = labels.name if image is None else Path(str(image.source.path or image.name)).name
        grid = Grid(about.axes, spatial_shape(labels), about.scale, about.units, name)
        source = None
        if image is not None and spatial_shape(image) == spatial_shape(labels):
            source = self._subjects.source(image)
        listed = session is not None and self._objects.is_listed(session)
        journal = None if session is None else session.journal
        command: list[Any] = []
        parameters: dict[str, Any] = {}
        if journal is not None:
            where = "IMAGE" if image is None or not image.source.path else image.source.path
            command = ["napari-hqsam", "replay", journal.path, where, "-o", "labels.tif"]
            parameters["journal"] = str(journal.path)
        return Export(
            list(session.objects.values()) if session is not None and listed else None,
            np.array(labels.data[0] if labels.multiscale else labels.data)
            if large is None
            else large.store,
            grid,
            source,
            str(self._controls.image.model.value),
            parameters,
            command,
            None if session is None else session.last_step,
        )

    def _take_in(self, path: Path) -> str:
        """Make objects of COCO or GeoJSON; one step, which can be undone."""
        from napari_hqsam.labels.coco import read_coco
        from napari_hqsam.labels.geojson import read_geojson

        image: Image | None = self._controls.image.image.value
        if image is None:
            raise HQSAMError("open the image first whose objects these are")
        session = self._destination.session(image)
        if session.editing is not None:  # the first of them would take its place
            raise HQSAMError(f"object {session.editing} is being corrected: commit it, or undo")
        labels = self._controls.labels.labels.value
        about = calibration(image if labels is None else labels)
        grid = Grid(about.axes, session.labels.shape, about.scale, about.units, path.name)
        read = read_geojson if path.suffix.lower() == ".geojson" else read_coco
        found = read(path, grid)
        if not found:
            raise HQSAMError(f"{path}: holds no objects")
        new = [
            NewObject(masks=each.masks, score=each.score, class_name=each.class_name)
            for each in found
        ]
        numbers = session.commit(new, self._controls.labels.overlap.value)
        return f"{len(numbers)} of {len(found)} objects taken in from {path.name}."

    def _on_written(self, path: Path, export: Export) -> None:
        """What holds all objects is a save; measurements, or what was changed since, are not."""
        session = self._sessions.current
        if session is None or session.last_step is not export.last_step:
            return
        if path.suffix.lower() not in (".csv", ".zip"):
            session.mark_saved(path)
