from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.benchmark.pictures import Place, sparse_plane, sparse_stack
from napari_hqsam.images import ImageSource, open_image


def contrast(source: ImageSource, place: Place) -> float:
    """How much brighter the middle of an object is than what lies just outside its box."""
    y0 = place.box[0]
    y, x = (int(v) for v in place.middle)

    def mean(top: int, left: int, h: int, w: int) -> float:
        return float(source.read(place.plane, top, left, top + h, left + w).mean())

    return mean(y - 3, x - 3, 6, 6) - mean(max(0, y0 - 4), x - 3, 3, 6)


def test_a_huge_plane_is_small_on_disk_and_has_its_objects_where_it_says(tmp_path: Path) -> None:
    places = sparse_plane(tmp_path / "plane.zarr", 100_000, 128, 3)
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) < 2 << 20
    with open_image(tmp_path / "plane.zarr") as source:
        assert source.yx_shape() == (100_000, 100_000)
        assert source.dtype == np.uint16
        assert max(source.yx_shape(len(source.levels) - 1)) <= 1024
        assert all(contrast(source, place) > 300 for place in places)
        assert len({place.box for place in places}) == 3


def test_coarser_levels_show_the_same(tmp_path: Path) -> None:
    (place,) = sparse_plane(tmp_path / "plane.zarr", 3000, 256, 1)
    with open_image(tmp_path / "plane.zarr") as source:
        y, x = (int(v) // 2 * 2 for v in place.middle)
        fine = source.read((), y, x, y + 8, x + 8)
        coarse = source.read((), y // 2, x // 2, y // 2 + 4, x // 2 + 4, level=1)
        assert coarse.mean() == pytest.approx(fine.mean(), abs=1)


def test_a_stack_has_its_objects_in_xy_and_in_xz(tmp_path: Path) -> None:
    xy, xz = sparse_stack(tmp_path / "stack.zarr", (96, 300, 200), 64, 2)
    with open_image(tmp_path / "stack.zarr") as source:
        assert source.shape == (96, 300, 200)
        assert all(contrast(source, place) > 300 for place in xy)
        turned = source.displaying("z", "x")
        assert all(contrast(turned, place) > 300 for place in xz)
