"""The checksum of everything stored."""

from __future__ import annotations

CRC_BYTES = 4
"""Length of a CRC-32C where it is kept behind the data, little-endian, as zarr's codec does."""


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`: that of zarr, and the one that CPUs compute in hardware.

    It finds every flip of up to three bits in a chunk, and any other damage but for one in
    4 billion. 1 MiB takes about 0.1 ms.
    """
    import google_crc32c

    return int(google_crc32c.value(data))
