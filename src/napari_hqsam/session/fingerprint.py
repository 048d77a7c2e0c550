"""What tells one image from another, wherever it lies and whatever shows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource

# Side of the boxes that are looked at, and how far along the diagonal of a plane they lie.
_SIDE = 64
_PLACES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Fingerprint:
    """Of an image; a file and the napari layers that show its channels have matching ones.

    Attributes
    ----------
    shape : tuple of int
        Lengths of the axes, without channels and axes of length 1.
    dtype : str
    pixels : Mapping of int to str
        By number of the channel, of those that were looked at: a hash of some of its pixels.
    """

    shape: tuple[int, ...]
    dtype: str
    pixels: Mapping[int, str]

    @classmethod
    def of(cls, source: ImageSource) -> Self:
        """Take it of the channels that `source` reads, from three small boxes of one plane.

        Raises
        ------
        HQSAMError
            If they cannot be read.
        """
        upright = source.upright
        about = upright.fingerprint()
        height, width = upright.yx_shape()
        plane = tuple(n // 2 for n in upright.plane_shape)
        boxes = []
        for place in _PLACES:
            y0, x0 = (int(max(0, place * n - _SIDE / 2)) for n in (height, width))
            boxes.append((plane, y0, x0, min(y0 + _SIDE, height), min(x0 + _SIDE, width)))
        found = upright.read_many(boxes)
        pixels = {}
        for i, channel in enumerate(about["channels"]):
            parts = hashlib.sha256()
            for box in found:
                part = np.ascontiguousarray(box[..., i], box.dtype.newbyteorder("<"))
                parts.update(part.data)
            pixels[int(channel)] = parts.hexdigest()[:32]
        shape = tuple(n for n in about["shapes"][0] if n > 1)
        return cls(shape, str(about["dtype"]), pixels)

    @property
    def key(self) -> str:
        """The same for all images that may match: a name of 16 hexadecimal digits."""
        text = json.dumps([list(self.shape), self.dtype])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def matches(self, other: Fingerprint) -> bool:
        """Whether both can be of one image.

        Two that looked at different channels can; two that saw different pixels in the same
        channel cannot, unless it only had another number.
        """
        if (self.shape, self.dtype) != (other.shape, other.dtype):
            return False
        seen = set(self.pixels.values()) & set(other.pixels.values())
        return bool(seen) or not set(self.pixels) & set(other.pixels)

    def __str__(self) -> str:
        return f"{' × '.join(map(str, self.shape)) or '1'}, {self.dtype}"

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        pixels = {str(channel): found for channel, found in self.pixels.items()}
        return {"shape": list(self.shape), "dtype": self.dtype, "pixels": pixels}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        pixels = {int(channel): str(found) for channel, found in saved["pixels"].items()}
        return cls(tuple(int(n) for n in saved["shape"]), str(saved["dtype"]), pixels)
