"""The mark of a window: written last, it says that the window's features are stored, and how."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from napari_hqsam.images.windows import Window

MARK_SUFFIX = ".json"
# Slots of the arrays: windows are spread over so many by their hash, and found by it.
SLOTS = 1 << 48

_NAME = re.compile(
    r"p(?P<plane>(?:\d+(?:\.\d+)*)?)_l(?P<level>\d+)_y(?P<y>-?\d+)_x(?P<x>-?\d+)"
    r"_s(?P<side>\d+)_(?P<h>\d+)x(?P<w>\d+)"
)


@dataclass(frozen=True)
class Mark:
    """What is known of a stored window.

    Attributes
    ----------
    window : str
        Its name: see `window_name`.
    checksums : mapping of str to int
        CRC-32C of each array's part.
    pixels : str
        Hash of the pixels that were encoded: see `pixels_hash`.
    created : str
        When, in UTC. It is not compared.
    """

    window: str
    checksums: Mapping[str, int]
    pixels: str
    created: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"), compare=False
    )

    def to_json(self) -> bytes:
        """The mark as it is written."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Mark:
        """The mark from what was written.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        fields = json.loads(text)
        try:
            checksums = {str(name): int(crc) for name, crc in fields["checksums"].items()}
            return cls(fields["window"], checksums, fields["pixels"], fields["created"])
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"a damaged mark: {error}") from error


def window_name(window: Window) -> str:
    """A window's fields, but for `input_size`, as the name of a file: it sorts and is read back."""
    plane = ".".join(map(str, window.plane))
    (y, x), (h, w) = window.origin, window.shape
    return f"p{plane}_l{window.level}_y{y}_x{x}_s{window.side}_{h}x{w}"


def named_window(name: str, input_size: int) -> Window | None:
    """The window of a name; None if it is not the name of a window."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    plane = tuple(int(i) for i in found["plane"].split(".") if i)
    level, y, x, side, h, w = (int(found[g]) for g in ("level", "y", "x", "side", "h", "w"))
    return Window(plane, level, (y, x), side, (h, w), input_size)


def slot(name: str) -> int:
    """Index of a window's part in the arrays, from its name.

    Two windows may share one, though among a million the odds are 1 : 560. As a mark names its
    window and vouches for the content, they can only displace each other.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
