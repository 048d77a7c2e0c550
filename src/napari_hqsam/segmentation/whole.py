"""Labels of a whole image as a job that streams, stops at any moment and goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam import __version__
from napari_hqsam.embedding.mark import window_name
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.pyramid import Box, Plane
from napari_hqsam.segmentation.blocks import Block, LabelJob, block_job, blocks_of
from napari_hqsam.segmentation.output import BLOCK, Output
from napari_hqsam.segmentation.region import Region
from napari_hqsam.segmentation.stitch import Instances, draw, link
from napari_hqsam.segmentation.stitch.instances import Ids
from napari_hqsam.segmentation.stitch.layout import Layout
from napari_hqsam.segmentation.stitch.recent import Recent

__all__ = ["Finder", "LabelJob", "block_job", "blocks_of", "label_job"]

_LINK = "link"
_SHARD = 256  # windows whose labels are in one record
_SHARDS = 16  # that are in memory


class Finder(Protocol):
    """What finds objects, window by window."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that the objects depend on, in terms of JSON."""

    def windows(self, planes: Sequence[Plane], region: Box | None) -> list[Window]:
        """Which windows to search: the same for the same arguments, and none twice."""

    def find(self, window: Window) -> Instances:
        """The objects of a window: the same for the same window."""


class _FindJob(LabelJob):
    """Find objects in every window, link them, draw them."""

    def __init__(
        self,
        finder: Finder,
        output: Output,
        windows: Sequence[Window],
        region: Region | None,
        between_slices: float | None,
        skip: Callable[[Window], bool] | None,
    ) -> None:
        self._finder, self._windows, self._region = finder, windows, region
        self._between, self._skip = between_slices, skip
        self._work = output.work
        self._layout = Layout([(w.plane, _box(w)) for w in windows])
        self._found = Recent(self._instances)
        self._shards: dict[int, tuple[Ids, NDArray[np.int64]]] = {}
        self._shown: NDArray[np.bool_] | None = None
        blocks = _blocks_under(windows, output.frame)
        super().__init__(output, blocks, self._drawn, before=[*windows, _LINK])

    def preview(self, plane: Sequence[int], box: Sequence[int]) -> NDArray[Any]:
        """As of any label job: finds in the windows that meet the box."""
        y0, x0, y1, x1 = (int(v) for v in box)
        at, around = tuple(plane), (y0, x0, y1, x1)
        windows = [w for w in self._finder.windows([at], around) if w.meets(around)]
        windows = [w for w in windows if self._skip is None or not self._skip(w)]
        found = [self._known(w, self._finder.find) for w in windows]
        links = link([(at, _box(w)) for w in windows], found.__getitem__, inside=self._inside)
        return draw(at, around, zip(found, links.ids, strict=True))

    @property
    def _inside(self) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]] | None:
        return None if self._region is None else self._region.holds

    def _is_there(self, item: Any) -> bool:
        if isinstance(item, Window):
            return _found_key(item) in self._work or _skipped_key(item) in self._work
        if item == _LINK:
            return _LINK in self._work
        return super()._is_there(item)

    def _run(self, item: Any) -> None:
        if isinstance(item, Window):
            if self._skip is not None and self._skip(item):
                self._work.mark(_skipped_key(item))
            else:
                self._find(item)
        elif item == _LINK:
            self._link()
        elif not isinstance(item, Block) or self._shown_in(item.plane, item.box):
            super()._run(item)

    def _find(self, window: Window) -> Instances:
        found = self._finder.find(window)
        self._work.write(_found_key(window), found.arrays())
        return found

    def _known(self, window: Window, find: Callable[[Window], Instances]) -> Instances:
        """What was found in a window before; what `find` finds if nothing was."""
        try:
            return Instances.from_arrays(self._work.read(_found_key(window)))
        except KeyError:
            return find(window)

    def _instances(self, i: int) -> Instances:
        return self._known(self._windows[i], self._find)  # it may have been damaged since

    def _link(self) -> None:
        searched = [i for i, w in enumerate(self._windows) if _skipped_key(w) not in self._work]
        links = link(
            [(self.frame.index(self._windows[i].plane), _box(self._windows[i])) for i in searched],
            lambda k: self._instances(searched[k]),
            between_slices=self._between,
            inside=self._inside,
        )
        ids: list[Ids] = [np.empty(0, np.uint64)] * len(self._windows)
        for i, labels in zip(searched, links.ids, strict=True):
            ids[i] = labels
        for first in range(0, len(ids), _SHARD):
            part = ids[first : first + _SHARD]
            counts = np.array([len(labels) for labels in part])
            arrays = {"ids": np.concatenate(part), "counts": counts}
            self._work.write(f"{_LINK}/{first // _SHARD}", arrays)
        shown = np.array([labels.any() for labels in ids], bool)
        self._work.write(_LINK, {"highest": np.array(links.highest, np.uint64), "shown": shown})

    def _begin(self) -> None:
        highest = int(self._work.read(_LINK)["highest"])
        self._output.begin(np.uint32 if highest < 2**32 else np.uint64, highest)

    def _shown_in(self, plane: Plane, box: Box) -> list[int]:
        """The windows of which something is shown in a box."""
        if self._shown is None:
            self._shown = self._work.read(_LINK)["shown"]
        return [int(i) for i in self._layout.meeting(plane, box) if self._shown[i]]

    def _ids(self, i: int) -> Ids:
        """The labels of the objects of a window."""
        number = i // _SHARD
        if number not in self._shards:
            key = f"{_LINK}/{number}"
            if key not in self._work:  # damaged
                self._link()
            record = self._work.read(key)
            ends = np.concatenate(([0], np.cumsum(record["counts"])))
            if len(self._shards) == _SHARDS:  # blocks go row by row, and so do windows
                del self._shards[next(iter(self._shards))]
            self._shards[number] = record["ids"], ends
        ids, ends = self._shards[number]
        at = i % _SHARD
        return ids[ends[at] : ends[at + 1]]

    def _drawn(self, plane: Plane, box: Box) -> NDArray[np.uint64]:
        parts = [(self._found(i), self._ids(i)) for i in self._shown_in(plane, box)]
        return draw(plane, box, parts)


def label_job(
    finder: Finder,
    frame: LabelFrame,
    *,
    planes: Sequence[Plane] | None = None,
    region: ArrayLike | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    between_slices: float | None = None,
    skip: Callable[[Window], bool] | None = None,
) -> LabelJob:
    """Find all objects, and make labels of them.

    Parameters
    ----------
    finder : Finder
    frame : LabelFrame
        Axes, shape and pixel sizes of the labels.
    planes : sequence of tuple of int, optional
        Which planes of the image; all without it.
    region : array-like, optional
        (y0, x0, y1, x1), or vertices (V, 2) of a polygon, in pixels: windows that meet it are
        searched, and objects are kept the middle of whose box lies in it.
    out : path-like, optional
        A ``.zarr`` that is made: labels of any size, and a job that can be resumed. In memory
        without it.
    overwrite : bool
        Whether labels at `out` may be replaced, and a job of other settings there be forgotten.
    settings : mapping, optional
        What the labels depend on beside the finder's settings and these arguments.
    between_slices : float, optional
        Least IoU of an object with its best match in the next slice, for both to have one label.
        It counts only where the labels have an axis z.
    skip : callable, optional
        Whether a window has no objects, so that it is not searched.

    Returns
    -------
    LabelJob

    Raises
    ------
    HQSAMError
        If the labels cannot be written there, or the job was begun with other settings.
    """
    if between_slices is not None and not 0 < between_slices <= 1:
        raise HQSAMError(f"between_slices {between_slices}: give an IoU above 0, and 1 at most")
    chosen = [tuple(plane) for plane in (frame.planes() if planes is None else planes)]
    part = None if region is None else Region.of(region, frame.plane_shape)
    linked = between_slices if "z" in frame.axes else None
    about: dict[str, Any] = {
        "version": __version__,
        **(settings or {}),
        "finder": dict(finder.settings),
        "axes": frame.axes,
        "shape": frame.shape,
        "planes": chosen,
        "region": part and part.to_json(),
        "between_slices": linked,
        "skips": skip is not None,
    }
    output = Output(frame, out, overwrite=overwrite, settings=about)
    windows = finder.windows(chosen, None if part is None else part.box)
    windows = [w for w in windows if part is None or part.meets(_box(w))]
    return _FindJob(finder, output, windows, part, linked, skip)


def _blocks_under(windows: Sequence[Window], frame: LabelFrame) -> list[Block]:
    """The blocks that windows show, in the order of the labels."""
    cells: set[tuple[Plane, int, int]] = set()
    for window in windows:
        y0, x0, y1, x1 = _box(window)
        for i in range(y0 // BLOCK, -(-y1 // BLOCK)):
            cells.update((window.plane, i, j) for j in range(x0 // BLOCK, -(-x1 // BLOCK)))
    height, width = frame.plane_shape
    return [
        Block(
            plane,
            (
                i * BLOCK,
                j * BLOCK,
                min((i + 1) * BLOCK, height),
                min((j + 1) * BLOCK, width),
            ),
        )
        for plane, i, j in sorted(cells, key=lambda cell: (frame.index(cell[0]), *cell[1:]))
    ]


def _box(window: Window) -> Box:
    (y, x), (h, w) = window.origin, window.shape
    return y, x, y + h, x + w


def _found_key(window: Window) -> str:
    return f"find/{window_name(window)}"


def _skipped_key(window: Window) -> str:
    return f"skip/{window_name(window)}"
