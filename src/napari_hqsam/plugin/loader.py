"""Makes Segmenters for subjects: loads models once, and chooses one contrast for all planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_hqsam.images.intensity import IntensityMapping

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam
    from napari_hqsam.plugin.request import Subject
    from napari_hqsam.segmentation import Segmenter

# Segmenters that are prepared at a time, for images that are on display next.
_PREPARED = 2
# Such an image is thought to be shown this large at first, in pixels of the screen.
_SCREEN = 1024


class Loader:
    """What the engine's thread makes Segmenters with.

    Parameters
    ----------
    tell : callable
        Is told what is done, and how far: (text, done, total), total 0 if it is not known.
    cancelled : callable
        Whether a download is to stop.

    Attributes
    ----------
    models : dict
        Those that are loaded, by name, device and precision, and whether compiled.
    """

    def __init__(
        self, tell: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> None:
        self._tell, self._cancelled = tell, cancelled
        self.models: dict[tuple[str | bool, ...], HQSam] = {}
        self._mapped: tuple[Any, Any] | None = None
        self._prepared: dict[Subject, Segmenter] = {}

    def needs_download(self, subject: Subject) -> bool:
        """Whether the model of a subject is not on this computer."""
        from napari_hqsam.weights import list_models

        here = {info.name for info in list_models() if info.installed}
        return _key(subject) not in self.models and subject.model not in here

    def segmenter(self, subject: Subject) -> Segmenter:
        """A Segmenter, new or prepared; its model is loaded, and downloaded if need be."""
        from napari_hqsam.segmentation import Segmenter

        if subject in self._prepared:
            return self._prepared.pop(subject)
        model = self._model(subject)
        self._tell("Reading the image…", 0, 0)
        limits = self._limits(subject)
        return Segmenter(subject.source, contrast_limits=limits, model=model, store=subject.store)

    def prepare(self, subject: Subject, index: tuple[int, ...]) -> None:
        """Have a Segmenter at hand that encodes a plane in a thread of its own."""
        from napari_hqsam.embedding.queue import View

        if subject in self._prepared:
            return
        while len(self._prepared) >= _PREPARED:
            self._prepared.pop(next(iter(self._prepared))).close()
        made = self._prepared[subject] = self.segmenter(subject)
        height, width = made.plane_shape
        made.watch(View(index, (0, 0, height, width), zoom=min(1.0, _SCREEN / max(height, width))))

    def close(self) -> None:
        """End what is being prepared."""
        for made in self._prepared.values():
            made.close()
        self._prepared.clear()

    def _limits(self, subject: Subject) -> Any:
        """One intensity mapping for all planes, whichever way they are cut."""
        key = (subject.source.upright, subject.limits)
        if self._mapped is None or self._mapped[0] != key:
            self._mapped = (key, IntensityMapping.choose(*key).limits)
        return self._mapped[1]

    def _model(self, subject: Subject) -> HQSam:
        from napari_hqsam.weights import load_model

        name, key = subject.model, _key(subject)
        if key not in self.models:
            self._tell(f"Loading {name}…", 0, 0)
            self.models[key] = load_model(
                name,
                device=subject.device,
                precision=subject.precision,
                compile=subject.compile,
                progress=lambda done, total: self._tell(f"Downloading {name}…", done, total),
                cancelled=self._cancelled,
            )
        return self.models[key]


def _key(subject: Subject) -> tuple[str | bool, ...]:
    return subject.model, subject.device, subject.precision, subject.compile
