"""The label image of a command as what a session's steps are replayed into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hqsam.cli.label_image import LabelImage
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.label_array import LabelArray
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.session.header import Header


class _Image(LabelImage):
    """A label image that is written to by planes."""

    @property
    def array(self) -> LabelArray:
        """Where the labels are."""
        from napari_hqsam.labels.label_array import MemoryLabels, StoreLabels

        if self._memory is not None:
            return MemoryLabels(self._memory)
        assert self._store is not None
        return StoreLabels(self._store)

    def axis(self, place: int) -> int:
        """Which axis is that axis of the planes of the image, or of y and x after them."""
        return self.frame.order.index(place) if place < len(self.frame.order) else place


class Canvas:
    """Labels of the shape of a session's, in the label image of the whole image.

    The image may lack axes of length 1 that the labels have, and the labels may be those of a
    single index along an axis of the image.

    Parameters
    ----------
    source : ImageSource
    target : Path
    header : Header
    journal : Path
        For messages.

    Attributes
    ----------
    image : LabelImage

    Raises
    ------
    HQSAMError
        If the labels do not fit the image.
    """

    def __init__(self, source: ImageSource, target: Path, header: Header, journal: Path) -> None:
        import numpy as np

        self.source, self.header, self.journal = source, header, journal
        self.shape, self.dtype = header.shape, np.dtype(header.dtype)
        self._places = _places(source, header.shape)
        whole = [*source.plane_shape, *source.yx_shape()]
        index = tuple(header.extra.get("index") or ())
        self._start = [0] * len(self.shape)
        for axis, (n, place) in enumerate(zip(self.shape, self._places, strict=False)):
            length = 1 if place is None else whole[place]
            if n == 1 < length and axis < len(index) and 0 <= index[axis] < length:
                self._start[axis] = int(index[axis])
            elif n != length:
                self._places = []
        if not self._places:
            raise HQSAMError(
                f"{journal}: is about labels of {_times(self.shape)} pixels, which {source.name} "
                f"({_times(whole)}) does not have; give the image that it was made with"
            )
        self.image = _Image(source, target, highest=int(np.iinfo(self.dtype).max))

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`."""
        return self.image.array.read(self._plane(plane), box).astype(self.dtype, copy=False)

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`."""
        limit = 2 ** (8 * self.image.dtype.itemsize) - 1
        if int(pixels.max(where=where, initial=0)) > limit:
            raise HQSAMError(
                f"{self.journal}: holds labels above {limit:,}, which label images do not hold; "
                "export the labels in napari, as .zarr"
            )
        self.image.array.write(self._plane(plane), y0, x0, pixels, where)

    def source_of(self, plane: ArrayPlane) -> ImageSource:
        """The image, its axes y and x being those of a plane."""
        letters = self.source.plane_axes + "yx"
        down, across = (letters[self._place(axis)] for axis in plane.axes)
        if (down, across) == ("y", "x"):
            return self.source
        return self.source.displaying(down, across)

    def source_index(self, plane: ArrayPlane) -> tuple[int, ...]:
        """Where a plane lies along the axes that `source_of` has beside y and x."""
        pairs = zip(plane.index, plane.others, strict=True)
        return tuple(i + self._start[a] for i, a in pairs if self._places[a] is not None)

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *error: object) -> None:
        self.image.close()

    def _place(self, axis: int) -> int:
        place = self._places[axis]
        if place is None:
            raise HQSAMError(f"{self.source.name}: has no axis {self.header.axes[axis]}")
        return place

    def _plane(self, plane: ArrayPlane) -> ArrayPlane:
        """The plane of the label image that is a plane of the session's labels."""
        from napari_hqsam.labels.plane import ArrayPlane

        i, j = (self.image.axis(self._place(axis)) for axis in plane.axes)
        if i > j:
            raise HQSAMError(f"{self.source.name}: has its axes in another order; save it as tzyx")
        pairs = zip(plane.index, plane.others, strict=True)
        along = {
            self.image.axis(self._place(a)): index + self._start[a]
            for index, a in pairs
            if self._places[a] is not None
        }
        return ArrayPlane((i, j), tuple(along[axis] for axis in sorted(along)))


def _places(source: ImageSource, shape: Sequence[int]) -> list[int | None]:
    """Which axis of the image, of its planes and then y and x, each axis of labels is.

    None for those of length 1 that the image does not have; [] if they do not go together.
    """
    kept = source.plane_axes + "yx"
    letters = [a for a in source.array_axes if a != "c"]
    own = list(range(len(shape)))
    if len(own) != len(letters):  # one of them is without its axes of length 1
        letters = list(kept)
        own = [axis for axis in own if shape[axis] > 1 or axis >= len(shape) - 2]
    if len(own) != len(letters):
        return []
    place = {axis: kept.index(a) for axis, a in zip(own, letters, strict=True) if a in kept}
    return [place.get(axis) for axis in range(len(shape))]


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
