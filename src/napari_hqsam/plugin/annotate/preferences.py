"""What the user has set in napari's Preferences, in the dock."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from napari.layers import Labels

from napari_hqsam.plugin.models.catalogue import catalogue
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hqsam.plugin.annotate.widget import AnnotateWidget
    from napari_hqsam.plugin.task import Reporter


class Preferences:
    """Takes the settings over into a dock, also when they are changed.

    Parameters
    ----------
    dock : AnnotateWidget

    Attributes
    ----------
    settings : Settings
    """

    def __init__(self, dock: AnnotateWidget) -> None:
        self._dock = dock
        self._budget = Task()
        self._end: Callable[[], None] = lambda: None
        self.settings = Settings.load()
        dock.controls.image.model.value = self.settings.model

    def watch(self) -> None:
        """Begin: the dock is complete."""
        self.take()
        self._end = Settings.watch(self.take)
        catalogue.changed.connect(self._dock.controls.image.reset_models)

    def take(self) -> None:
        """Take what is set now."""
        dock, before, now = self._dock, self.settings, Settings.load()
        self.settings = dock.subjects.settings = now
        keys = asdict(now.keys)
        dock.keys.use(keys)
        dock.keys.bind(dock.viewer)
        for layer in dock.viewer.layers:
            if isinstance(layer, Labels):
                dock.keys.bind(layer)
        dock.controls.show_keys(keys)
        dock.controls.image.reset_models()
        if now.model != before.model:  # what was chosen in the dock stays
            dock.controls.image.model.value = now.model
        dock.controls.status.show_model(str(dock.controls.image.model.value))
        if now.folder is not None:
            self._keep_budget(now)
        dock.viewport.look()

    def close(self) -> None:
        """Take no more, end the thread; also of a dock that is gone."""
        self._end()
        catalogue.changed.disconnect(self._dock.controls.image.reset_models, missing_ok=True)
        self._budget.close()

    def _keep_budget(self, now: Settings) -> None:
        """Free what embeddings take beyond their limit."""
        folder, limit = now.folder, int(now.limit_gb * 1e9)
        assert folder is not None

        def work(job: Reporter) -> None:
            from napari_hqsam.embedding.folder import prune_folder

            prune_folder(folder, limit, job.check)

        self._budget.start(work)
