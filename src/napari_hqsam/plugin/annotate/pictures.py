"""Images of a folder or list in the viewer, one after the other, with their labels saved beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, QThread
from qtpy.QtWidgets import QApplication, QProgressDialog

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.files import open_file
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate.objects_tab import calibration
from napari_hqsam.plugin.label_folder import STORE
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.next_image import NextImageWidget
from napari_hqsam.plugin.reader import layers_of
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.plugin.annotate.subjects import Subjects
    from napari_hqsam.plugin.engine import Engine

_PATIENCE_MILLISECONDS = 200
_TURN_MILLISECONDS = 10


class Pictures:
    """Opens and saves what the queue of images asks for.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : Controls
    layers : LabelLayers
    sessions : Sessions
    subjects : Subjects
    engine : Engine
        Encodes the next ones.

    Attributes
    ----------
    widget : NextImageWidget
    """

    def __init__(
        self,
        viewer: ViewerModel,
        controls: Controls,
        layers: LabelLayers,
        sessions: Sessions,
        subjects: Subjects,
        engine: Engine,
    ) -> None:
        self._viewer, self._controls = viewer, controls
        self._layers, self._sessions = layers, sessions
        self._subjects, self._engine = subjects, engine
        self._shown: list[Layer] = []
        self._prepared: dict[Path, list[Layer]] = {}
        self.widget = NextImageWidget(
            self._open, self._save, self._prepare, lambda: not engine.busy
        )
        layers.store_place = self._store_place

    def close(self) -> None:
        """Prepare nothing more."""
        self.widget.shut_down()
        self._prepared.clear()

    def _open(self, path: Path) -> None:
        """Show an image and its labels; what was shown before goes."""
        fresh = self._prepared.pop(path, None) or _layers(path)
        kept = self.widget.labels(path)
        fresh += [] if kept is None else _layers(kept, labels=True)
        old, self._shown = self._shown, fresh
        labels = self._controls.labels.labels.value
        if old and labels is not None and labels not in old and self._sessions.has(labels):
            old.append(labels)  # made for the image that goes, and saved; no others are touched
        for layer in fresh:
            self._viewer.add_layer(layer)
        self._controls.reset_choices()
        image = next((layer for layer in fresh if isinstance(layer, Image)), None)
        self._controls.image.image.value = image
        self._controls.labels.labels.value = next(
            (layer for layer in fresh if isinstance(layer, Labels)), None
        )
        for layer in old:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._viewer.reset_view()

    def _save(self) -> Path | None:
        """Write the labels of the image on display beside it; None if there is nothing new."""
        labels, session = self._controls.labels.labels.value, self._sessions.current
        if labels is None or session is None or not session.dirty:
            return None
        self._layers.flush()
        large = self._layers.large(labels)
        target = self.widget.target(large=large is not None)
        if target is None:
            return None
        image = self._controls.image.image.value
        if image is not None and spatial_shape(labels) != spatial_shape(image):
            raise HQSAMError(
                f"{labels.name} is of one time point, and {target.name} is for the whole film: "
                "export it in the tab Export, or choose a layer for all time points"
            )
        if large is None:
            _write(target, labels)
        elif large.store.path.absolute() != target.absolute():
            raise HQSAMError(
                f"{labels.name} is kept in {large.store.path}: move it to {target} by hand, or "
                "save it there with File > Save"
            )
        session.mark_saved(target)
        return target

    def _prepare(self, path: Path) -> None:
        """Open an image, and have it encoded."""
        made = self._prepared[path] = _layers(path)
        for layer in made:
            if isinstance(layer, Image):
                plane = ArrayPlane((layer.ndim - 2, layer.ndim - 1), (0,) * (layer.ndim - 2))
                self._engine.prepare(*self._subjects.of(layer, plane))
                return

    def _store_place(self) -> Path | None:
        """Where labels of the image on display go that are kept on disk."""
        return self.widget.target(large=True)


def _layers(path: Path, *, labels: bool = False) -> list[Layer]:
    """The layers of a file, lazily; raises HQSAMError if it is broken."""
    file = open_file(str(path))
    if labels:  # few files say so of themselves
        file = replace(file, is_labels=True, rgb=False)
    try:
        made = layers_of(file)
    except HQSAMError:
        file.close()
        raise
    layers = [Layer.create(data, meta, kind) for data, meta, kind in made]
    for layer in layers:
        if isinstance(layer, Labels) and path.suffix == ".zarr":
            layer.metadata[STORE] = str(path)
    return layers


def _write(target: Path, labels: Labels) -> None:
    """Write the labels of a layer, in a thread if that takes long."""
    about = calibration(labels)
    data: Any = np.asarray(labels.data)
    task, errors = Task(), list[str]()
    task.failed.connect(errors.append)
    waiting = QProgressDialog(f"Saving {target.name}…", "", 0, 0)
    waiting.setCancelButton(None)
    waiting.setWindowModality(Qt.WindowModality.ApplicationModal)
    waiting.setMinimumDuration(_PATIENCE_MILLISECONDS)
    task.start(
        lambda _job: write_labels(
            target, data, scale=about.scale, units=about.units, axes=about.axes
        )
    )
    while task.busy:
        QApplication.processEvents()
        waiting.setValue(0)
        QThread.msleep(_TURN_MILLISECONDS)  # the thread that writes needs Python, too
    waiting.close()
    if errors:
        raise HQSAMError(errors[0])
