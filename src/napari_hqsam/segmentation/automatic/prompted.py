"""Objects of which something is known each: a box, a seed, a label of another segmentation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any

import numpy as np

from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Box, Window, grid
from napari_hqsam.labels.pyramid import Plane
from napari_hqsam.modeling import Mode
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.segmentation.automatic.drawing import Drawing, shown_box
from napari_hqsam.segmentation.automatic.grid import batch_size
from napari_hqsam.segmentation.automatic.identity import identity
from napari_hqsam.segmentation.automatic.layout import all_octaves, octave_for, window_of
from napari_hqsam.segmentation.automatic.settings import check_sizes
from napari_hqsam.segmentation.decode import Prediction, decode
from napari_hqsam.segmentation.interactive import Interactive
from napari_hqsam.segmentation.mask import Mask
from napari_hqsam.segmentation.polish import polish
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.stitch import Instances
from napari_hqsam.segmentation.viewing import Viewing

Objects = Mapping[Plane, Sequence[tuple[int, Prompts]]]
"""On each plane the label that an object is to have, 0 for any, and its prompts."""

_LARGEST_ID = 2**64 - 1


class Prompted:
    """Finds objects that were asked for, each once and with the label that was given.

    An object is looked at in the window of a grid that shows it whole, in the middle: those that
    lie together share their windows. One that is known by clicks alone is looked at as `predict`
    does, in windows for objects of the diameter.

    Parameters
    ----------
    features : Features
        Of the image, by the model that decodes them.
    shape : tuple of int
        (height, width) of a plane.
    level : int
        Pyramid level worked on.
    objects : mapping
        Of each plane (label, Prompts) of its objects; see `Objects`.
    mode, threshold
        As for `Segmenter.predict`.
    fill_holes, keep_to_box
        As for `polish`.
    min_size, max_size : int
        Pixels of an object; parts that are smaller are removed.
    diameter : float, optional
        Of an object that is known by clicks alone, in pixels. Without it the first look is 1:1.

    Raises
    ------
    HQSAMError
        If a prompt lies outside its plane, or a label or an option is out of range.
    """

    def __init__(
        self,
        features: Features,
        shape: tuple[int, int],
        level: int,
        objects: Objects,
        *,
        mode: Mode = "hq+sam",
        threshold: float = 0.0,
        fill_holes: bool = False,
        min_size: int = 0,
        max_size: int | None = None,
        keep_to_box: bool = False,
        diameter: float | None = None,
    ) -> None:
        check_mode(mode, has_hq=features.model.has_hq)
        check_sizes(min_size, max_size)
        if not np.isfinite(threshold):
            raise HQSAMError(f"threshold {threshold}: give a number such as 0 or -1.5")
        if diameter is not None and not 0 < diameter < np.inf:
            raise HQSAMError(
                f"diameter {diameter}: give that of a typical object in pixels, such as 30"
            )
        self._features, self._model = features, features.model
        self._shape, self._level = shape, level
        self._mode, self._threshold, self._diameter = mode, threshold, diameter
        self._fill_holes, self._keep_to_box = fill_holes, keep_to_box
        self._min_size, self._max_size = min_size, max_size
        self._interactive = _Repeatable(features, shape, level, diameter)
        self._objects = {features.source.check_plane(p): list(of) for p, of in objects.items()}
        self._of: dict[Window, list[tuple[int, Prompts]]] = defaultdict(list)
        for plane, of_plane in self._objects.items():
            for number, prompts in of_plane:
                if not 0 <= number <= _LARGEST_ID:
                    raise HQSAMError(f"label {number}: give a number from 0 to {_LARGEST_ID:,}")
                prompts.check_inside(shape)
                self._of[self._window(prompts, plane)].append((number, prompts))

    @property
    def settings(self) -> dict[str, Any]:
        """All that the masks depend on, of JSON's types."""
        return {
            "finder": "prompted",
            "objects": _digest(self._objects),
            "mode": self._mode,
            "threshold": self._threshold,
            "fill_holes": self._fill_holes,
            "keep_to_box": self._keep_to_box,
            "min_size": self._min_size,
            "max_size": self._max_size,
            "diameter": self._diameter,
            **identity(self._features, self._level),
        }

    def windows(self, planes: Sequence[Sequence[int]], region: Box | None = None) -> list[Window]:
        """The windows that have objects, plane by plane.

        Parameters
        ----------
        planes : sequence of tuple of int
        region : (y0, x0, y1, x1), optional
            Half-open, in pixels: only windows that meet it.
        """
        order = {tuple(plane): i for i, plane in enumerate(planes)}
        found = [
            window
            for window in self._of
            if window.plane in order and (region is None or window.meets(region))
        ]
        return sorted(found, key=lambda w: (order[w.plane], w.side, w.origin))

    def find(self, window: Window) -> Instances:
        """The objects of a window; they are the same whatever was found before."""
        found: list[tuple[int, Mask]] = []
        clicked: list[tuple[int, Prompts]] = []
        alike: dict[tuple[int, bool, bool], list[tuple[int, Prompts]]] = defaultdict(list)
        for number, prompts in self._of.get(window, ()):
            if prompts.bounds()[2]:
                alike[prompts.form()].append((number, prompts))
            else:
                clicked.append((number, prompts))
        size = batch_size(self._model.device)
        for members in alike.values():
            for start in range(0, len(members), size):
                found += self._boxed(window, members[start : start + size])
        for number, prompts in clicked:
            self._features.gate.wait()
            found.append((number, self._clicked(window, prompts)))
        limits = Drawing(min_size=self._min_size, max_size=self._max_size)
        kept = [(n, m) for n, m in found if limits.wants(m.area, m.bbox, self._shape)]
        return Instances.of(
            window.plane,
            shown_box(window),
            [(mask.data, mask.bbox) for _, mask in kept],
            [mask.score for _, mask in kept],
            [number for number, _ in kept],
        )

    def _window(self, prompts: Prompts, plane: Plane) -> Window:
        """Where an object is looked at first."""
        ends = prompts.span()
        if ends is None:
            return self._interactive.viewing(plane).of(prompts)
        last = np.subtract(self._shape, 1)  # a box may reach over the edge
        (y0, x0), (y1, x1) = np.clip(ends, 0, last).tolist()
        # clicks beside the box must be in the window to be heard
        clicks = [(y, x, y, x) for y, x in prompts.points.tolist()]
        tops, lefts, bottoms, rights = zip((y0, x0, y1, x1), *clicks, strict=True)
        box = min(tops), min(lefts), max(bottoms) + 1, max(rights) + 1
        return window_of(box, self._shape, self._model.input_size, plane, self._level)

    def _boxed(
        self, window: Window, members: Sequence[tuple[int, Prompts]]
    ) -> list[tuple[int, Mask]]:
        """Objects of prompts of one form, decoded in one batch."""
        self._features.gate.wait()
        self._features.prepare(window)
        features = self._features.get(window)
        prompts = [p for _, p in members]
        hq = self._mode != "sam"
        found = decode(self._model, features, window, prompts, [None] * len(prompts), hq=hq)
        masks = [self._finished(prediction) for prediction in found]
        return [(number, mask) for (number, _), mask in zip(members, masks, strict=True)]

    def _clicked(self, window: Window, prompts: Prompts) -> Mask:
        """An object that is looked at again, closer, once the click has shown where it ends."""
        return self._interactive.many([prompts], window.plane, [None], self._mode, self._finished)[
            0
        ]

    def _finished(self, prediction: Prediction) -> Mask:
        self._features.gate.wait()
        mask = prediction.mask(self._mode, self._threshold)
        mask = self._interactive.finish(mask, None, self._mode, self._threshold, None)
        return polish(
            mask,
            fill_holes=self._fill_holes,
            min_size=self._min_size,
            keep_to_box=self._keep_to_box,
        )


class _Repeatable(Interactive):
    """Looks at objects in windows of grids, whichever are at hand: a mask is always the same."""

    def __init__(
        self, features: Features, shape: tuple[int, int], level: int, diameter: float | None
    ) -> None:
        super().__init__(features, shape, level)
        size = self.model.input_size
        octave = 0 if diameter is None else octave_for(diameter, size)
        self._side = size * 2.0**octave
        self._octaves = all_octaves(shape, size)

    def viewing(self, plane: Plane) -> Viewing:
        def offered(box: Box) -> Iterable[Window]:
            size, level = self.model.input_size, self.level
            return chain.from_iterable(
                grid(self.shape, size, octave, plane=plane, level=level, region=box)
                for octave in self._octaves
            )

        size = self.model.input_size
        return Viewing(self.shape, plane, self.level, size, offered, self._side)


def _digest(objects: Objects) -> str:
    """A short name for objects and their prompts."""
    found = sha256()
    for plane in sorted(objects):
        for number, p in objects[plane]:
            parts = (p.points, p.labels, p.polygon, p.mask)
            arrays = [None if a is None else (a.shape, a.tobytes()) for a in parts]
            found.update(repr((plane, int(number), p.box, p.mask_origin, arrays)).encode())
    return found.hexdigest()
