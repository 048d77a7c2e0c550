"""The checksum is zarr's."""

from __future__ import annotations

import pytest

from napari_hqsam.storage import CRC_BYTES, crc32c


def test_it_is_the_standard_one() -> None:
    """The check value of CRC-32C in the catalogue of parametrised CRC algorithms."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("bit", [0, 7, 4003, 7999])
def test_a_flipped_bit_shows(bit: int) -> None:
    data = bytearray(1000)
    data[bit // 8] ^= 1 << bit % 8
    assert crc32c(bytes(data)) != crc32c(bytes(1000))
    assert crc32c(bytes(data)) < 1 << 8 * CRC_BYTES
