"""How an embedding store lies on disk.

::

    store/                     zarr v3 group; attributes: format version, the image's fingerprint
      <digest of the key>/     zarr v3 group, a *run*; attributes: the key
        embedding/             zarr v3 array, float16 (2⁴⁸, 256, S/16, S/16)
        hq/                    zarr v3 array, float16 (2⁴⁸, 32, S/4, S/4); not for plain SAM
          zarr.json
          c.<slot>.0.0.0       one window: little-endian numbers and their CRC-32C
        marks/<window>.json    a window that is done
      tmp/  lock

Windows are spread over the 2⁴⁸ slots by a hash; zarr arrays are sparse, so that only what is
there takes space. Any zarr v3 library reads them. Chunks are written and read as files here, for
what zarr leaves open: it does not wait for the disk, and gives zeros for a chunk that is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from napari_hqsam.embedding.key import STORED_DTYPE, describe_image, digest
from napari_hqsam.embedding.mark import MARK_SUFFIX, SLOTS, Mark, slot
from napari_hqsam.errors import HQSAMError
from napari_hqsam.storage import CRC_BYTES, exclusive, remove_leftovers, write_bytes, write_mark

FORMAT = 1
CHUNK_PREFIX = "c."
LOCK, SCRATCH, MARKS = "lock", "tmp", "marks"

_METADATA = "zarr.json"
_OURS = "napari_hqsam_embeddings"
_ITEMSIZE = 2


class StoreUnavailable(HQSAMError):
    """The disk refuses: it is full, or may not be written. Features can stay in memory."""


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turn the disk's refusals into `StoreUnavailable`."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"{path}: the embedding store cannot be used ({error.strerror or error}); make room, "
            "allow writing there, or choose another folder"
        ) from error


def array_shapes(input_size: int, *, hq: bool = True) -> dict[str, tuple[int, int, int]]:
    """Shapes of what is stored of one window, by the name of the array."""
    shapes = {"embedding": (256, input_size // 16, input_size // 16)}
    if hq:
        shapes["hq"] = (32, input_size // 4, input_size // 4)
    return shapes


def window_bytes(input_size: int, *, hq: bool = True) -> int:
    """Bytes that one window takes, its mark of some 200 bytes aside."""
    return sum(c * h * w * _ITEMSIZE for c, h, w in array_shapes(input_size, hq=hq).values())


def read_root(path: Path) -> dict[str, Any] | None:
    """Fingerprint of the image whose store is at `path`; None if nothing is there yet.

    Raises
    ------
    HQSAMError
        If something else is there, it is damaged, or it was made by a newer version.
    OSError
        If it cannot be read.
    """
    if not path.exists():
        return None
    if not path.is_dir():
        raise HQSAMError(f"{path}: an embedding store is a folder, and this is a file")
    attributes = _read_attributes(path)
    if attributes is None:
        if any(entry.name not in (LOCK, SCRATCH) for entry in path.iterdir()):
            raise HQSAMError(
                f"{path}: the folder is not empty and no embedding store; choose another folder"
            )
        return None
    if not isinstance(attributes, dict) or "version" not in attributes:
        raise HQSAMError(f"{path}: this zarr is no embedding store; choose another folder")
    version, image = attributes["version"], attributes.get("image")
    if isinstance(version, int) and version > FORMAT:
        raise HQSAMError(
            f"{path}: the embedding store was made by a newer napari-hqsam (format {version}, "
            f"known here up to {FORMAT}); update napari-hqsam, or choose another folder"
        )
    if version != FORMAT or not _is_fingerprint(image):
        raise _damaged(path)
    return image


def check_image(path: Path, stored: dict[str, Any], image: dict[str, Any]) -> None:
    """Raise HQSAMError if the store at `path` is of another image."""
    if stored != image:
        raise HQSAMError(
            f"{path}: this embedding store is of another image ({describe_image(stored)}) than "
            f"the one opened ({describe_image(image)}); choose another folder"
        )


def create_root(path: Path, image: dict[str, Any]) -> None:
    """Make an empty store for an image; of several processes, the first one does."""
    path.mkdir(parents=True, exist_ok=True)
    (path / SCRATCH).mkdir(exist_ok=True)
    with exclusive(path / LOCK, str(path)):
        made_meanwhile = read_root(path)
        if made_meanwhile is None:
            _write_group(path, {"version": FORMAT, "image": image}, path / SCRATCH)
        else:
            check_image(path, made_meanwhile, image)


def runs(path: Path) -> list[Run]:
    """The runs of a store; what is not a run, or a damaged one, is left out."""
    found = []
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        try:
            key = _read_attributes(folder)
            run = Run(path, key["key"]) if isinstance(key, dict) else None
            if run is not None and run.folder == folder and run.array_names:
                found.append(run)
        except (HQSAMError, KeyError, TypeError):
            continue
    return found


@dataclass(frozen=True)
class Run:
    """The windows of one key: one way to look at the image, one set of weights.

    Attributes
    ----------
    store : pathlib.Path
    key : dict
        See `run_key`.
    """

    store: Path
    key: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """Name of the run's folder."""
        return digest(self.key)

    @cached_property
    def folder(self) -> Path:
        """Where the run is."""
        return self.store / self.digest

    @property
    def scratch(self) -> Path:
        """Where files are written before they get their name."""
        return self.store / SCRATCH

    @cached_property
    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Shapes of what is stored of one window, by the name of the array."""
        return array_shapes(self.key["input_size"], hq=self.key["hq_head"] is not None)

    @property
    def array_names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.shapes)

    def chunk_bytes(self, array: str) -> int:
        """Length of one window's file in an array."""
        c, h, w = self.shapes[array]
        return c * h * w * _ITEMSIZE + CRC_BYTES

    def chunk(self, array: str, name: str) -> Path:
        """File of the window called `name` in an array."""
        return self.folder / array / f"{CHUNK_PREFIX}{slot(name)}.0.0.0"

    def mark(self, name: str) -> Path:
        """File of the mark of the window called `name`."""
        return self.folder / MARKS / f"{name}{MARK_SUFFIX}"

    def read_mark(self, name: str) -> Mark | None:
        """The mark of the window called `name`, or None.

        Raises
        ------
        ValueError
            If it is damaged, or is another window's.
        OSError
            If it cannot be read.
        """
        try:
            found = Mark.from_json(self.mark(name).read_bytes())
        except FileNotFoundError:
            return None
        if found.window != name or set(found.checksums) != set(self.array_names):
            raise ValueError("the mark of another window")
        return found

    def check(self) -> bool:
        """Whether the run is there.

        Raises
        ------
        HQSAMError
            If its metadata are damaged.
        """
        attributes = _read_attributes(self.folder)
        if attributes is None:
            return False
        if attributes != {"key": self.key}:
            raise _damaged(self.folder)
        for array, shape in self.shapes.items():
            metadata = self.folder / array / _METADATA
            if not metadata.exists() or _read_json(metadata) != _array_metadata(shape):
                raise _damaged(self.folder)
        return True

    def create(self) -> None:
        """Make the run if it is not there; its own metadata come last, and make it one."""
        self.scratch.mkdir(exist_ok=True)
        remove_leftovers(self.scratch)
        if self.check():
            return
        (self.folder / MARKS).mkdir(parents=True, exist_ok=True)
        for array, shape in self.shapes.items():
            (self.folder / array).mkdir(exist_ok=True)
            text = json.dumps(_array_metadata(shape), indent=1).encode()
            write_bytes(self.folder / array / _METADATA, text, scratch=self.scratch)
        _write_group(self.folder, {"key": self.key}, self.scratch)


def _array_metadata(shape: tuple[int, int, int]) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [SLOTS, *shape],
        "data_type": STORED_DTYPE,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, *shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0.0,
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "attributes": {},
    }


def _write_group(folder: Path, ours: dict[str, Any], scratch: Path) -> None:
    group = {"zarr_format": 3, "node_type": "group", "attributes": {_OURS: ours}}
    write_mark(folder / _METADATA, json.dumps(group, indent=1).encode(), scratch=scratch)


def _read_attributes(folder: Path) -> Any:
    """Our attributes of a group: None without a group, {} if it has none of ours."""
    try:
        group = _read_json(folder / _METADATA)
    except FileNotFoundError:
        return None
    attributes = group.get("attributes")
    return attributes.get(_OURS, {}) if isinstance(attributes, dict) else {}


def _is_fingerprint(image: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(image, dict)
        and isinstance(image.get("shape"), list)
        and isinstance(image.get("dtype"), str)
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _damaged(path.parent)
    return found


def _damaged(folder: Path) -> HQSAMError:
    return HQSAMError(
        f"{folder / _METADATA}: the embedding store's metadata are damaged; delete {folder}, or "
        "choose another folder"
    )
