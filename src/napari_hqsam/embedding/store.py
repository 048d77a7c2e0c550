"""Features of an image's windows on disk: computed once, and there after whatever happens."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_hqsam.embedding.eviction import Freed, StoreStatus, prune, status
from napari_hqsam.embedding.half import to_half, to_single
from napari_hqsam.embedding.key import image_fingerprint, pixels_hash, run_key
from napari_hqsam.embedding.layout import (
    MARKS,
    Run,
    StoreUnavailable,
    check_image,
    create_root,
    on_disk,
    read_root,
    window_bytes,
)
from napari_hqsam.embedding.mark import MARK_SUFFIX, Mark, named_window, window_name
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.source import ImageSource
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, TileFeatures
from napari_hqsam.storage import CRC_BYTES, crc32c, write_bytes, write_mark

__all__ = ["EmbeddingStore", "StoreUnavailable", "StoredFeatures", "pixels_hash", "window_bytes"]

# Use is noted this often at most.
_TOUCH_SECONDS = 60


@dataclass(frozen=True)
class StoredFeatures:
    """What was stored of a window.

    Attributes
    ----------
    features : TileFeatures
        Batch 1, float32, on the CPU.
    pixels_hash : str
        Of the pixels that were encoded.
    """

    features: TileFeatures
    pixels_hash: str


class EmbeddingStore:
    """The features of one image, by one model, in one look (channels, intensities), on disk.

    Several processes may read and fill one store at once, and be killed at any moment. One folder
    holds the runs of all models and looks of an image; nothing in it depends on where it lies.

    Attributes
    ----------
    path : pathlib.Path
    run : Run
        The part of the store for this model and this look.

    Examples
    --------
    >>> store = EmbeddingStore.open("cells.embeddings", source, mapping, model)  # doctest: +SKIP
    >>> store.write(window, features, pixels_hash(pixels))                       # doctest: +SKIP
    >>> store.read(window).features                                              # doctest: +SKIP
    """

    def __init__(self, path: Path, run: Run) -> None:
        self.path = path
        self.run = run
        self._prepared = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        source: ImageSource,
        mapping: IntensityMapping,
        model: HQSam,
        *,
        create: bool = True,
    ) -> EmbeddingStore:
        """Open the store of an image, or make one.

        A store that is there is not touched until the first `write`, so that one on a read-only
        disk serves as well.

        Parameters
        ----------
        path : path
            A folder: a store, an empty one, or one yet to be made.
        source, mapping, model
            What is encoded, how, and by which weights.
        create : bool
            Whether a store may be made.

        Raises
        ------
        HQSAMError
            If the folder holds something else, or the store is of another image, of a newer
            version or damaged. It is left as it is.
        StoreUnavailable
            If the disk refuses.
        """
        if "://" in str(path):
            raise HQSAMError(f"{path}: an embedding store is a folder on a disk; give its path")
        folder = Path(path).expanduser().absolute()
        image = image_fingerprint(source)
        with on_disk(folder):
            stored = read_root(folder)
            if stored is not None:
                check_image(folder, stored, image)
            elif create:
                create_root(folder, image)
            else:
                raise HQSAMError(f"{folder}: there is no embedding store; check the path")
            run = Run(folder, run_key(source, mapping, model))
            run.check()
        return cls(folder, run)

    def round(self, features: TileFeatures) -> TileFeatures:
        """Features as they come back from the store: rounded to float16, in float32.

        Used from the first click on, they make it equal to the second.
        """
        hq = features.hq
        return TileFeatures(
            to_single(to_half(features.embedding)),
            None if hq is None else to_single(to_half(hq)),
        )

    def write(self, window: Window, features: TileFeatures, pixels_hash: str) -> None:
        """Store the features of a window; they are on the disk when this returns.

        Parameters
        ----------
        window : Window
        features : TileFeatures
            Batch 1.
        pixels_hash : str
            Of the pixels that were encoded.

        Raises
        ------
        StoreUnavailable
            If the disk is full, or may not be written. The window then counts as not stored.
        """
        name = self._name(window)
        data = self._to_bytes(features)
        mark = Mark(name, {array: crc32c(part) for array, part in data.items()}, pixels_hash)
        with on_disk(self.path):
            self._prepare()
            old = self._find_mark(name)
            if old == mark and self._has_chunks(name):
                return  # another process was faster
            if old is not None:  # no mark may vouch for a mixture of old and new
                self.discard(window)
            for array, part in data.items():
                chunk = part + crc32c(part).to_bytes(CRC_BYTES, "little")
                write_bytes(self.run.chunk(array, name), chunk, scratch=self.run.scratch)
            write_mark(self.run.mark(name), mark.to_json(), scratch=self.run.scratch)

    def read(self, window: Window) -> StoredFeatures | None:
        """Features of a window, or None if they are not there.

        What is damaged (a chunk that is missing, cut off or does not fit its checksum) counts as
        not there, and is discarded.
        """
        name = self._name(window)
        mark = None
        try:
            mark = self.run.read_mark(name)
            if mark is None:
                return None
            tensors = {array: self._read_chunk(array, mark) for array in self.run.array_names}
        except (FileNotFoundError, ValueError):
            # unless another process has just written it anew
            if self._find_mark(name) == mark:
                self.discard(window)
            return None
        except OSError:
            return None  # for this process the disk is as good as empty
        self._touch(name)
        features = TileFeatures(tensors["embedding"], tensors.get("hq"))
        return StoredFeatures(features, mark.pixels)

    def discard(self, window: Window) -> None:
        """Make a window count as not stored; its space is used again, or freed by `prune`."""
        with suppress(OSError):
            self.run.mark(self._name(window)).unlink()

    def __contains__(self, window: Window) -> bool:
        """Whether a window is stored. What it contains is checked when it is read."""
        name = self._name(window)
        return os.path.exists(self.run.mark(name)) and self._has_chunks(name)

    def windows(self) -> Iterator[Window]:
        """All stored windows of this model and this look, in no order."""
        try:
            names = os.listdir(self.run.folder / MARKS)
        except OSError:
            return
        for name in names:
            window = named_window(name.removesuffix(MARK_SUFFIX), self.run.key["input_size"])
            if window is not None and name.endswith(MARK_SUFFIX):
                yield window

    def status(self) -> StoreStatus:
        """What the store holds, other models and looks included."""
        return status(self.path)

    def prune(self, max_bytes: int) -> Freed:
        """Delete the windows not used for longest, of all models and looks: see `prune`."""
        return prune(self.path, max_bytes)

    def __repr__(self) -> str:
        return f"<EmbeddingStore {str(self.path)!r}, run {self.run.digest}>"

    def _name(self, window: Window) -> str:
        if window.input_size != self.run.key["input_size"]:
            raise ValueError(f"{window} is not for a model of {self.run.key['input_size']} pixels")
        return window_name(window)

    def _prepare(self) -> None:
        """Make the run before the first write."""
        if not self._prepared:
            self.run.create()
            self._prepared = True

    def _find_mark(self, name: str) -> Mark | None:
        with suppress(ValueError, OSError):
            return self.run.read_mark(name)
        return None

    def _has_chunks(self, name: str) -> bool:
        try:
            return all(
                self.run.chunk(array, name).stat().st_size == self.run.chunk_bytes(array)
                for array in self.run.array_names
            )
        except OSError:
            return False

    def _to_bytes(self, features: TileFeatures) -> dict[str, bytes]:
        tensors = {"embedding": features.embedding, "hq": features.hq}
        given = {name: tuple(t.shape) for name, t in tensors.items() if t is not None}
        wanted = {name: (1, *shape) for name, shape in self.run.shapes.items()}
        if given != wanted:
            raise ValueError(f"features of shapes {given}; this store takes {wanted}")
        return {
            name: to_half(t).cpu().numpy().astype("<f2", copy=False).tobytes()
            for name, t in tensors.items()
            if t is not None
        }

    def _read_chunk(self, array: str, mark: Mark) -> Tensor:
        """One window's part of an array, (1, C, h, w); ValueError if it is damaged."""
        data = self.run.chunk(array, mark.window).read_bytes()[:-CRC_BYTES]
        if crc32c(data) != mark.checksums[array]:
            raise ValueError("flipped bits, or cut off")
        numbers = np.frombuffer(bytearray(data), "<f2").astype(np.float16, copy=False)
        return to_single(torch.from_numpy(numbers)).view(1, *self.run.shapes[array])

    def _touch(self, name: str) -> None:
        """Note that a window was used: the time of its mark says when."""
        mark, now = self.run.mark(name), time.time()
        with suppress(OSError):  # a store that may only be read
            if now - mark.stat().st_mtime > _TOUCH_SECONDS:
                os.utime(mark, (now, now))
