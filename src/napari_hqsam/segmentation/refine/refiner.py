"""Refine the labels of a box of a plane: look at each object again, then settle who gets what."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import CONTEXT, Window, grid, window_around
from napari_hqsam.labels.find import LabelBoxes, label_boxes
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import GivenLabels
from napari_hqsam.labels.pyramid import Box, slices
from napari_hqsam.modeling import Mode
from napari_hqsam.segmentation.automatic.layout import octave_for, window_of
from napari_hqsam.segmentation.fine import Blend
from napari_hqsam.segmentation.mask import OUTSIDE
from napari_hqsam.segmentation.refine.again import Answer, Outline, look_again
from napari_hqsam.segmentation.refine.settle import settled
from napari_hqsam.segmentation.region import Region

Plane = tuple[int, ...]

# Model pixels of a pixel of the low-res logits.
_LOGIT = 4.0
# What is narrower, in pixels, is seen magnified.
_THIN = 6.0
# Objects that neighbouring boxes share are kept for them.
_BYTES = 2**28


@dataclass(frozen=True)
class RefineSettings:
    """How labels are refined.

    Attributes
    ----------
    band : float
        How far, in pixels, a boundary may move.
    thin : float
        How far parts thinner than `band` may grow; 0, no further than `band`.
    mode : {"hq+sam", "hq", "sam"}
        As for `Segmenter.predict`.

    Raises
    ------
    HQSAMError
        If a distance is not possible.
    """

    band: float = 8.0
    thin: float = 0.0
    mode: Mode = "hq+sam"

    def __post_init__(self) -> None:
        if not (self.band > 0 and math.isfinite(self.band)):
            raise HQSAMError(
                f"band {self.band:g}: give the pixels by which a boundary may move, above 0"
            )
        if not (self.thin >= 0 and math.isfinite(self.thin)):
            raise HQSAMError(f"thin {self.thin:g}: give a number of pixels, 0 for none")

    @property
    def reach(self) -> int:
        """By how many pixels an object may grow."""
        return math.ceil(max(self.band, self.thin))


@dataclass(frozen=True, eq=False)
class Refined:
    """An object in its new boundary.

    Attributes
    ----------
    box : tuple of int
        (y0, x0, y1, x1) in the plane that the arrays show.
    mask : ndarray of bool
        (h, w) what the object should be.
    logits : ndarray of float16
        (h, w) how sure that is: where two objects want a pixel the larger one gets it.
    heart : (int, int)
        (y, x) in the plane of a pixel that stays the object's whatever others want.
    """

    box: Box
    mask: NDArray[np.bool_]
    logits: NDArray[np.float16]
    heart: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.mask.nbytes + self.logits.nbytes


class Refiner:
    """Refines the labels of an image, box by box.

    The result of a box depends on the image and the labels alone, not on what was refined before:
    boxes may be computed in any order, and by several processes.

    Parameters
    ----------
    features : Features
        Of the image.
    frame : LabelFrame
    labels : GivenLabels
    level : int
        Pyramid level worked on.
    settings : RefineSettings
    region : Region, optional
        Objects the middle of whose box lies elsewhere stay as they are, whatever others want.
    """

    def __init__(
        self,
        features: Features,
        frame: LabelFrame,
        labels: GivenLabels,
        level: int,
        settings: RefineSettings,
        region: Region | None = None,
    ) -> None:
        self.features, self.frame, self.labels = features, frame, labels
        self.level, self.settings, self.region = level, settings, region
        self._boxes: dict[Plane, LabelBoxes] = {}
        self._recent: OrderedDict[tuple[Plane, int], Refined] = OrderedDict()
        self._bytes = 0

    def boxes(self, plane: Plane) -> LabelBoxes:
        """Where the labels of a plane are."""
        if plane not in self._boxes:
            self._boxes = {plane: label_boxes(self.labels, self.frame.plane(plane))}
        return self._boxes[plane]

    def block(self, plane: Plane, box: Box) -> NDArray[np.uint64]:
        """The refined labels (h, w) of a box of a plane."""
        old = self.labels.read(self.frame.plane(plane), box).astype(np.uint64)
        new = np.zeros_like(old)
        best = np.full(old.shape, -np.inf, np.float32)
        hearts = []
        kept = self._kept(plane, old)
        new[kept], best[kept] = old[kept], np.inf
        for label, found in self._objects(plane, box):
            shared = _intersection(box, found.box)
            if shared[0] >= shared[2] or shared[1] >= shared[3]:
                continue
            here, there = slices(shared, box), slices(shared, found.box)
            claimed = found.mask[there]
            sure = np.where(claimed, found.logits[there].astype(np.float32), -np.inf)
            # of two that are equally sure, the one that has the pixel keeps it
            wins = (sure > best[here]) | (claimed & (sure == best[here]) & (old[here] == label))
            best[here][wins] = sure[wins]
            new[here][wins] = label
            hearts.append((found.heart, label))
        for (y, x), label in hearts:
            if box[0] <= y < box[2] and box[1] <= x < box[3]:
                new[y - box[0], x - box[1]] = label
        return new

    def _objects(self, plane: Plane, box: Box) -> Iterator[tuple[int, Refined]]:
        """Every object that may have pixels in a box, those of one window together."""
        places, reach = self.boxes(plane), self.settings.reach
        if len(places.labels) == 0:
            return
        grown = places.boxes + np.array([-reach, -reach, reach, reach])
        meets = (grown[:, :2] < box[2:]).all(axis=1) & (grown[:, 2:] > box[:2]).all(axis=1)
        near = np.flatnonzero(meets & self._inside(places))
        groups: dict[Window, list[int]] = defaultdict(list)
        for i in near.tolist():
            label, known = int(places.labels[i]), self._recent.get((plane, i))
            if known is not None:
                self._recent.move_to_end((plane, i))
                yield label, known
                continue
            window = self._window(plane, places.boxes[i])
            if window is not None:
                groups[window].append(i)
                continue
            part = self._part(plane, i, box)
            if part is not None:
                yield label, part
        for window, members in groups.items():
            for i, found in zip(members, self._whole(plane, window, members), strict=True):
                self._keep((plane, i), found)
                yield int(places.labels[i]), found

    def _inside(self, places: LabelBoxes) -> NDArray[np.bool_]:
        """Which objects are to be refined."""
        if self.region is None:
            return np.ones(len(places.labels), dtype=bool)
        return self.region.holds((places.boxes[:, :2] + places.boxes[:, 2:] - 1) / 2)

    def _kept(self, plane: Plane, old: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """The pixels of objects that are not."""
        places = self.boxes(plane)
        return np.isin(old, places.labels[~self._inside(places)])

    def _keep(self, key: tuple[Plane, int], found: Refined) -> None:
        self._recent[key] = found
        self._bytes += found.nbytes
        while self._bytes > _BYTES and len(self._recent) > 1:
            _, oldest = self._recent.popitem(last=False)
            self._bytes -= oldest.nbytes

    def _window(self, plane: Plane, box: NDArray[np.int64]) -> Window | None:
        """The window that shows an object whole; None if it would have to be shrunk."""
        y0, x0, y1, x1 = box.tolist()
        octave = octave_for(max(y1 - y0, x1 - x0), self._size)
        if octave > 0 and max(self._shape) > self._size:
            if CONTEXT * max(y1 - y0, x1 - x0) > self._size:
                return None
            ends = (y0, x0), (y1 - 1, x1 - 1)
            return window_around(*ends, self._shape, self._size, plane, self.level)
        return window_of((y0, x0, y1, x1), self._shape, self._size, plane, self.level, octave)

    def _whole(self, plane: Plane, window: Window, members: Sequence[int]) -> list[Refined]:
        """Objects that one window shows whole."""
        places = self.boxes(plane)
        around = [self._around(places.boxes[i]) for i in members]
        outer = _union(around)
        pixels = self.labels.read(self.frame.plane(plane), outer)
        outlines = [
            Outline(pixels[slices(box, outer)] == places.labels[i], box)
            for i, box in zip(members, around, strict=True)
        ]
        settings = self.settings
        answers = look_again(self.features, window, outlines, settings.band, settings.mode)
        return [
            self._settle(outline, answer, window.scale)
            for outline, answer in zip(outlines, answers, strict=True)
        ]

    def _part(self, plane: Plane, i: int, box: Box) -> Refined | None:
        """What a box shows of an object that is too large for a window: 1:1, in several windows."""
        places, at = self.boxes(plane), self.frame.plane(plane)
        label = places.labels[i]
        # what is settled at the edge of the box depends on what lies as far beyond it
        reach = 2 * self.settings.reach + 2
        wide = _intersection(self._around(places.boxes[i]), _grown(box, reach, self._shape))
        outline = Outline(self.labels.read(at, wide) == label, wide)
        if not outline.mask.any():
            return None
        width = places.widths[i]
        octave = -1 if width < _THIN else 0
        known = outline.depth.clip(OUTSIDE, -OUTSIDE).astype(np.float32)
        blend = Blend(torch.from_numpy(known), wide[:2])
        near = np.abs(outline.depth) <= self.settings.reach
        for window in grid(
            self._shape, self._size, octave, plane=plane, level=self.level, region=wide
        ):
            (y, x), (h, w) = window.origin, window.shape
            shown = _intersection(wide, (y, x, y + h, x + w))
            if not near[slices(shown, wide)].any():
                continue
            around = _grown((y, x, y + h, x + w), self.settings.reach, self._shape)
            part = Outline(self.labels.read(at, around) == label, around)
            if part.mask.any():
                settings = self.settings
                (answer,) = look_again(
                    self.features, window, [part], settings.band, settings.mode, whole=False
                )
                inner = torch.from_numpy(answer.logits[slices((y, x, y + h, x + w), around)])
                blend.add(inner, window)
        return self._settle(outline, Answer(blend.result().numpy()), 2.0**-octave)

    def _settle(self, outline: Outline, answer: Answer, scale: float) -> Refined:
        band, thin = self.settings.band, self.settings.thin
        told = [logits for logits in answer[1:] if logits is not None]
        mask = settled(outline.mask, answer.logits, band, thin, told, _LOGIT / scale)
        return Refined(outline.box, mask, answer.logits.astype(np.float16), outline.heart)

    def _around(self, box: NDArray[np.int64]) -> Box:
        """The box of an object with all that it may grow into."""
        y0, x0, y1, x1 = box.tolist()
        return _grown((y0, x0, y1, x1), self.settings.reach + 2, self._shape)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.frame.plane_shape

    @property
    def _size(self) -> int:
        return self.features.model.input_size


def _grown(box: Box, by: int, shape: tuple[int, int]) -> Box:
    y0, x0, y1, x1 = box
    return max(y0 - by, 0), max(x0 - by, 0), min(y1 + by, shape[0]), min(x1 + by, shape[1])


def _union(boxes: Sequence[Box]) -> Box:
    ends = np.array(boxes)
    (y0, x0), (y1, x1) = ends[:, :2].min(axis=0).tolist(), ends[:, 2:].max(axis=0).tolist()
    return y0, x0, y1, x1


def _intersection(a: Box, b: Box) -> Box:
    y0, x0 = max(a[0], b[0]), max(a[1], b[1])
    return y0, x0, max(min(a[2], b[2]), y0), max(min(a[3], b[3]), x0)
