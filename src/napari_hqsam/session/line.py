"""The lines of a journal: one JSON object each, with a checksum.

Each checksum covers that of the line before, so that a lost line is noticed like a damaged one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.storage import crc32c

# A line is {"crc":"01234567","record":…}
_OPEN, _MIDDLE, _CLOSE = b'{"crc":"', b'","record":', b"}\n"
_CRC = slice(len(_OPEN), len(_OPEN) + 8)
_BODY = _CRC.stop + len(_MIDDLE)


def write_line(record: Mapping[str, Any], before: int) -> tuple[bytes, int]:
    """A record as a line, and its checksum; `before` is that of the line before."""
    body = json.dumps(record, separators=(",", ":"), default=_plain).encode()
    crc = crc32c(b"%08x" % before + body)
    return b"".join((_OPEN, b"%08x" % crc, _MIDDLE, body, _CLOSE)), crc


def read_line(line: bytes, before: int) -> bytes | None:
    """The record of a line, as JSON; None if the line is not whole."""
    whole = line.startswith(_OPEN) and line.endswith(_CLOSE)
    if not whole or line[_CRC.stop : _BODY] != _MIDDLE:
        return None
    body = line[_BODY : -len(_CLOSE)]
    return body if line[_CRC] == b"%08x" % crc32c(b"%08x" % before + body) else None


def whole_lines(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """The lines up to the first that is torn or damaged.

    Yields
    ------
    bytes, int, int
        The record as JSON, where in the file the line ends, and its checksum.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    end = crc = 0
    with path.open("rb") as file:
        for line in file:
            body = read_line(line, crc)
            if body is None:
                return
            end, crc = end + len(line), int(line[_CRC], 16)
            yield body, end, crc


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written to a journal")
