from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_hqsam.images.lazy import ArrayView, MappedArray, longest_chunks, split_index

IMAGE = np.arange(2 * 3 * 5 * 7, dtype="u2").reshape(2, 3, 5, 7)

INDICES = [
    (),
    ...,
    0,
    -1,
    (0, ..., 3),
    (slice(None), 1),
    (slice(0, 9), slice(1, None), slice(-3, -1), slice(None, None, 2)),
    (..., slice(1, 6, 3)),
    (np.int64(1), np.uint8(2), 3, 4),
    (..., slice(5, 2)),
    (1, 1, slice(3, 3)),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_is_that_of_numpy(index: object, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" + IMAGE.astype(">u2").tobytes())
    arrays = [
        ArrayView(zarr.create_array({}, data=IMAGE, chunks=(1, 1, 2, 3)), range(4)),
        MappedArray(tmp_path / "a", np.dtype(">u2"), 3, IMAGE.shape),
    ]
    for array in arrays:
        np.testing.assert_array_equal(array[index], IMAGE[index])
        assert array[index].shape == IMAGE[index].shape
        np.testing.assert_array_equal(np.asarray(array), IMAGE)
        assert (array.ndim, array.size, array.nbytes, len(array)) == (4, 210, 420, 2)


@pytest.mark.parametrize(
    "index", [(0,) * 5, (..., ...), 2, -3, (0, 0, 5), slice(None, None, -1), 1.5, "a", ([0, 1],)]
)
def test_other_indices_are_errors(index: object) -> None:
    with pytest.raises(IndexError):
        split_index(index, IMAGE.shape)


def test_a_view_turns_axes_and_fixes_others() -> None:
    array = zarr.create_array({}, data=IMAGE, chunks=(1, 2, 3, 4))
    view = ArrayView(array, (3, 0, 2), {1: 2})
    expected = IMAGE[:, 2].transpose(2, 0, 1)
    assert (view.shape, view.dtype, view.chunks) == (expected.shape, expected.dtype, (4, 1, 3))
    np.testing.assert_array_equal(view[1:, 0], expected[1:, 0])
    assert view[2, 1, 3] == expected[2, 1, 3]
    np.testing.assert_array_equal(da.from_array(view).compute(), expected)


def test_longest_chunks() -> None:
    assert longest_chunks(zarr.create_array({}, shape=(5, 9), chunks=(2, 20), dtype="u1")) == (2, 9)
    assert longest_chunks(da.zeros((5, 9), chunks=((2, 3), (9,)))) == (3, 9)
    assert longest_chunks(np.zeros((5, 9))) is None
    unknown = da.zeros(9, chunks=3)
    assert longest_chunks(unknown[unknown > 0]) is None
