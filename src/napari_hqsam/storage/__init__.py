"""The one protocol for what is written to disk: data, checksum, and the mark last.

A file appears under its name complete or not at all (`write_bytes`). A mark is written after the
data that it vouches for (`write_mark`), and holds their checksums (`crc32c`). What has no mark does
not exist, and what does not agree with its mark is computed again.
"""

from napari_hqsam.storage.checksum import CRC_BYTES, crc32c
from napari_hqsam.storage.commit import PARTIAL, remove_leftovers, write_bytes, write_mark
from napari_hqsam.storage.lock import exclusive

__all__ = [
    "CRC_BYTES",
    "PARTIAL",
    "crc32c",
    "exclusive",
    "remove_leftovers",
    "write_bytes",
    "write_mark",
]
