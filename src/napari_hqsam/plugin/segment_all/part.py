"""The part of labels that a job has written: what is measured of a slide where little was done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hqsam.images.lazy import LazyArray, Span
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hqsam.labels.objects import LabelObject
    from napari_hqsam.labels.progress import Progress
    from napari_hqsam.labels.pyramid import Box


@dataclass(frozen=True)
class Part:
    """A box of labels in all of their axes.

    Attributes
    ----------
    start, shape : tuple of int
        Along the axes of the labels.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, frame: LabelFrame, blocks: Iterable[tuple[tuple[int, ...], Box]]) -> Part:
        """The smallest one with all of some boxes of planes of the image."""
        ends = [
            ((*frame.index(plane), y0, x0), (*(i + 1 for i in frame.index(plane)), y1, x1))
            for plane, (y0, x0, y1, x1) in blocks
        ]
        if not ends:
            return cls((0,) * len(frame.shape), (1,) * len(frame.shape))
        low = np.min([start for start, _ in ends], axis=0)
        high = np.max([stop for _, stop in ends], axis=0)
        return cls(tuple(low.tolist()), tuple((high - low).tolist()))

    def frame(self, whole: LabelFrame) -> LabelFrame:
        """Of this part alone; without axes along which it has a length of 1."""
        grid = whole.grid
        kept = [i for i, n in enumerate(self.shape) if n > 1 or grid.axes[i] in "yx"]
        own = Grid(
            "".join(grid.axes[i] for i in kept),
            tuple(self.shape[i] for i in kept),
            grid.scale and tuple(grid.scale[i] for i in kept),
            grid.units and tuple(grid.units[i] for i in kept),
            grid.name,
        )
        return LabelFrame(own, tuple(range(len(kept) - 2)))

    def of(self, labels: Any) -> LazyArray:
        """The part of an array or a `LabelStore`; read when it is indexed."""
        levels = getattr(labels, "levels", None)
        return _Piece(labels if levels is None else levels[0], self)

    def objects(self, labels: Any, progress: Progress | None = None) -> Iterator[LabelObject]:
        """The objects in this part, where they lie in the whole."""
        from napari_hqsam.labels.find import objects_in

        *planes, dy, dx = self.start
        for found in objects_in(self.of(labels), progress):
            masks = []
            for mask in found.masks:
                index = tuple(a + b for a, b in zip(mask.plane.index, planes, strict=True))
                y0, x0, y1, x1 = mask.bbox
                box = y0 + dy, x0 + dx, y1 + dy, x1 + dx
                masks.append(replace(mask, plane=replace(mask.plane, index=index), bbox=box))
            yield replace(found, masks=tuple(masks))


class _Piece(LazyArray):
    """A box of an array."""

    def __init__(self, array: Any, part: Part) -> None:
        self._array, self._part = array, part
        self.shape, self.dtype = part.shape, np.dtype(array.dtype)

    def read(self, span: Span) -> NDArray[Any]:
        """Read a box of the box."""
        at = zip(span, self._part.start, strict=True)
        return np.asarray(self._array[tuple(slice(s.start + a, s.stop + a) for s, a in at)])
