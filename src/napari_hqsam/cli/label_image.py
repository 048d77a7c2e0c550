"""The label image that a command fills and writes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.segmentation import Mask


class LabelImage:
    """Labels for an image: its planes and pixel sizes, without its channels.

    Small ones are in memory; above 512 MB they are on disk, beside the file to be written. Close
    it, or use it as a context manager, so that nothing but that file is left.

    Parameters
    ----------
    source : ImageSource
    target : Path
        What `write` will write.
    level : int
        Pyramid level whose pixels the labels have.
    highest : int
        Largest label that will be drawn.

    Attributes
    ----------
    plane_axes : str
        As `ImageSource.plane_axes`.
    frame : LabelFrame
    axes, shape, scale, units
        As of `frame`.
    dtype : numpy.dtype
        uint16, or uint32 for labels above 65,535; 0 is background.

    Raises
    ------
    HQSAMError
        If the image has more axes than label images, or there is no room for the labels.
    """

    def __init__(
        self, source: ImageSource, target: Path, *, level: int = 0, highest: int = 0
    ) -> None:
        import numpy as np

        from napari_hqsam.labels.frame import LabelFrame
        from napari_hqsam.labels.pixels import MEMORY_BYTES

        frame = self.frame = LabelFrame.of(source, level)
        self.plane_axes = source.plane_axes
        self.axes, self.shape = frame.axes, frame.shape
        self.scale, self.units = frame.scale, frame.units
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if highest < 2**16 else np.uint32)

        self._target = target
        self._memory: NDArray[Any] | None = None
        self._store: LabelStore | None = None
        if math.prod(self.shape) * self.dtype.itemsize <= MEMORY_BYTES:
            self._memory = np.zeros(self.shape, self.dtype)
        else:
            self._store = self._new_store()

    def draw(self, mask: Mask, value: int, plane: Sequence[int]) -> int:
        """Write a mask where there is background; the number of pixels written.

        Parameters
        ----------
        mask : Mask
        value : int
            Its label.
        plane : sequence of int
            Index of the plane, as the image counts its planes.
        """
        import numpy as np

        index = self.frame.index(plane)
        if self._memory is not None:
            return mask.draw(self._memory[index], value)
        assert self._store is not None
        y0, x0 = mask.bbox[:2]
        busy = self._store.read(index, *mask.bbox) != 0
        pixels = np.broadcast_to(np.asarray(value, self.dtype), busy.shape)
        return self._store.write(index, y0, x0, pixels, mask.data & ~busy).area

    def describe(self) -> str:
        """Its size in words, such as ``z 30, y 512, x 512; uint16``."""
        sizes = ", ".join(f"{a} {n}" for a, n in zip(self.axes, self.shape, strict=True))
        return f"{sizes}; {self.dtype}"

    def square_micrometers(self) -> float | None:
        """Area of a pixel in µm², if its size is known."""
        from napari_hqsam.images.units import micrometers

        if self.scale is None or self.units is None:
            return None
        sides = micrometers(self.scale[-2:], self.units[-2:])
        return None if sides is None else sides[0] * sides[1]

    def write(self) -> Path:
        """Write the labels to the target, complete or not at all."""
        from napari_hqsam.labels import place
        from napari_hqsam.labels.export import write_labels

        target = self._target
        if self._store is not None and target.suffix.lower() == ".zarr":
            with place.writing(target):
                place.check_target(target)
                place.replace(self._store.path, target)
            return target
        labels = self._store if self._memory is None else self._memory
        assert labels is not None
        return write_labels(target, labels, scale=self.scale, units=self.units, axes=self.axes)

    def close(self) -> None:
        """Delete what is on disk for the labels, other than the file that was written."""
        from napari_hqsam.labels import place

        if self._store is not None:
            place.remove(self._store.path)

    def __enter__(self) -> LabelImage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _new_store(self) -> LabelStore:
        """An empty store beside the target, so that it can become it."""
        from napari_hqsam.labels import place
        from napari_hqsam.labels.store import LabelStore

        if self._target.suffix.lower() == ".png":
            raise HQSAMError(f"{self._target}: the image is too large for a PNG; write a .zarr")
        path = place.partial(self._target.with_suffix(".labels.zarr"))
        return LabelStore.create(
            path,
            self.shape,
            axes=self.axes,
            dtype=self.dtype,
            scale=self.scale,
            units=self.units,
            overwrite=True,
            name=self._target,
        )


def check_output(out: Path, image: Path, *, planes: bool, overwrite: bool) -> None:
    """Find out before any work whether a label image can be written.

    Parameters
    ----------
    out, image : Path
        What will be written, and what is read.
    planes : bool
        Whether there is more than one plane.
    overwrite : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    HQSAMError
        If it cannot, or the image would be lost.
    """
    suffix = out.suffix.lower()
    if suffix not in (".tif", ".tiff", ".zarr", ".png"):
        raise HQSAMError(f"{out}: labels are written as .tif, .zarr or .png; change the suffix")
    if suffix == ".png" and planes:
        raise HQSAMError(f"{out}: a PNG holds one plane, but the image has several; write a .tif")
    if out.exists():
        if image.exists() and out.samefile(image):
            raise HQSAMError(f"{out}: is the image itself; give another name with -o")
        if out.is_dir() and suffix != ".zarr":
            raise HQSAMError(f"{out}: is a folder; give the name of a file with -o")
        if not overwrite:
            raise HQSAMError(f"{out}: exists already; add --overwrite, or give another name")
    if image.is_dir() and image.resolve() in out.resolve().parents:
        raise HQSAMError(f"{out}: lies inside the image; write it elsewhere")
    check_folder(out.parent, out)


def check_folder(folder: Path, out: Path) -> None:
    """Raise HQSAMError if nothing can be written into `folder`, where `out` belongs."""
    if not folder.is_dir():
        raise HQSAMError(f"{out}: there is no folder {folder}; make it first")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise HQSAMError(
            f"{out}: cannot be written ({error.strerror}); choose another folder"
        ) from None
