"""Every object of an image, window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.embedding.features import Features
from napari_hqsam.images.windows import Box, Window, whole_plane
from napari_hqsam.modeling import HQSam, TileFeatures
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.segmentation.automatic.drawing import Drawing, draw_boxes
from napari_hqsam.segmentation.automatic.foreground import Foreground
from napari_hqsam.segmentation.automatic.grid import (
    Filters,
    grid_candidates,
    grid_points,
    points_per_side,
    seed_scores,
)
from napari_hqsam.segmentation.automatic.identity import identity
from napari_hqsam.segmentation.automatic.layout import octaves_of, windows_of
from napari_hqsam.segmentation.automatic.settings import AutomaticSettings
from napari_hqsam.segmentation.stitch import Instances

# Of the predicted IoU and of the stability what the embedded model's clicks reach (chosen on its
# training images), and SAM's own.
_MICRO = {"grid": (0.45, 0.2), "threshold": (0.4, 0.0)}
_SAM = {"grid": (0.88, 0.95), "threshold": (0.5, 0.0)}

# What is longer than so many diameters is ground between objects, cut out by a window.
_LONGEST = 4.0

_Boxes = tuple[NDArray[np.int64], NDArray[np.float32]]


class Automatic:
    """Finds the objects of one image without prompts.

    In each window clicks are decoded without the HQ branch: on a grid, or on what a threshold
    shows. What passes the filters is decoded once more, from its box and with the HQ branch, and
    drawn in full resolution.

    Parameters
    ----------
    features : Features
        Of the image, by the model that decodes them.
    shape : tuple of int
        (height, width) of a plane.
    level : int
        Pyramid level worked on.
    settings : AutomaticSettings

    Raises
    ------
    HQSAMError
        If the model has no HQ branch, and the settings ask for it.
    """

    def __init__(
        self,
        features: Features,
        shape: tuple[int, int],
        level: int,
        settings: AutomaticSettings,
    ) -> None:
        check_mode(settings.mode, has_hq=features.model.has_hq)
        self._features, self._model = features, features.model
        self._shape, self._level, self._wanted = shape, level, settings
        self._filters = _filters(features.model, settings)
        size = features.model.input_size
        self._octaves = octaves_of(settings.diameter, settings.crops, size)
        side = min(round(size * 2.0 ** self._octaves[0]), whole_plane(shape, size).side)
        self._points = settings.points_per_side or points_per_side(settings.diameter, side, size)
        self._drawing = Drawing(
            settings.mode,
            settings.threshold,
            settings.fill_holes,
            settings.max_overlap,
            settings.min_size,
            settings.max_size,
            settings.exclude_edges,
            math.inf if settings.diameter is None else _LONGEST * settings.diameter,
        )
        self.foreground = Foreground(
            features.source, features.mapping, level, size, settings.diameter
        )

    @property
    def settings(self) -> dict[str, Any]:
        """All that the objects depend on, of JSON's types."""
        return {
            "finder": "automatic",
            **asdict(self._wanted),
            "points_per_side": self._points,
            **asdict(self._filters),
            **identity(self._features, self._level),
        }

    def windows(self, planes: Sequence[Sequence[int]], region: Box | None = None) -> list[Window]:
        """The windows that are looked at, plane by plane.

        Parameters
        ----------
        planes : sequence of tuple of int
        region : (y0, x0, y1, x1), optional
            Half-open, in pixels; the whole plane by default.
        """
        size = self._model.input_size
        return windows_of(self._shape, size, self._level, self._octaves, planes, region)

    def find(self, window: Window) -> Instances:
        """The objects of a window; they are the same whatever was found before."""
        pause = self._features.gate.wait
        self._features.prepare(window)
        features = self._features.get(window)
        boxes, scores = self._looked_for(window, features, pause)
        return draw_boxes(
            self._model, features, window, boxes, scores, self._shape, self._drawing, pause
        )

    def _looked_for(
        self, window: Window, features: TileFeatures, pause: Callable[[], None]
    ) -> _Boxes:
        """Boxes (N, 4) of what may be objects, half-open, in model pixels, and their scores."""
        if self._wanted.method == "threshold":
            boxes, centres = self.foreground.boxes(window)
            scores = seed_scores(self._model, features, window, centres, pause)
            good = scores >= self._filters.min_iou
            return boxes[good], scores[good]
        points = grid_points(window, self._points)
        found = grid_candidates(self._model, features, window, points, self._filters, pause)
        ends = np.array([*window.model_shape, *window.model_shape])
        return np.minimum(found.boxes * 4, ends), found.scores


def _filters(model: HQSam, settings: AutomaticSettings) -> Filters:
    """The filters that are asked for, or those that suit the model."""
    min_iou, min_stability = (_MICRO if model.variant == "micro" else _SAM)[settings.method]
    return Filters(
        min_iou if settings.min_iou is None else settings.min_iou,
        min_stability if settings.min_stability is None else settings.min_stability,
        settings.max_overlap,
    )
