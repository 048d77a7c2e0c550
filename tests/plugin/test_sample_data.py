"""What File > Open Sample brings: nothing is downloaded, and all of it opens at once."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.data import _fetchers, immunohistochemistry

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.plugin import samples
from napari_hqsam.plugin.samples import tissue


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    class Offline:
        abspath = tmp_path

    monkeypatch.setattr(_fetchers, "_image_fetcher", Offline())
    monkeypatch.setenv("NAPARI_HQSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def mirrored(y: slice, x: slice) -> np.ndarray:
    """What the slide shows there: the picture, mirrored at each of its edges."""
    picture = immunohistochemistry()
    rows, columns = (np.arange(s.start, s.stop) % 1024 for s in (y, x))
    return picture[np.ix_(*(np.minimum(i, 1023 - i) for i in (rows, columns)))]


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("retina", (1411, 1411, 3)),
        ("ihc", (512, 512, 3)),
        ("cell", (660, 550)),
        ("coins", (303, 384)),
        ("microaneurysms", (102, 102)),
    ],
)
def test_pictures_need_no_download(key: str, shape: tuple[int, ...]) -> None:
    ((data, options, kind),) = getattr(samples, key)()
    assert (kind, options["name"]) == ("image", key)
    assert options.get("rgb", False) == (len(shape) == 3)
    assert (data.shape, data.dtype) == (shape, np.uint8)


def test_nuclei_are_calibrated_and_the_same_every_time() -> None:
    ((data, options, kind),) = samples.nuclei()
    assert (kind, data.dtype, data.ndim) == ("image", np.uint16, 3)
    assert options["scale"] == (1.0, 0.25, 0.25)
    assert set(options["units"]) == {"micrometer"}
    assert np.array_equal(data, samples.nuclei()[0][0])
    bright = data > 800
    assert 0.03 < bright.mean() < 0.3
    assert np.percentile(data, 50) < 200
    low, high = options["contrast_limits"]
    assert low <= data.min()
    assert np.percentile(data, 99.9) <= high


def test_nuclei_open_as_a_layer_that_can_be_segmented() -> None:
    from napari.layers import Image

    from napari_hqsam.images.layer import source_from_layers

    ((data, options, _),) = samples.nuclei()
    source = source_from_layers([Image(data, **options)])
    assert (source.plane_axes, source.yx_shape()) == ("z", (256, 256))
    assert tuple(source.scale) == (1.0, 0.25, 0.25)


def test_the_slide_is_large_to_see_and_small_on_the_disk(folders: Path) -> None:
    ((levels, options, kind),) = samples.slide()
    assert (kind, options["rgb"], options["name"]) == ("image", True, "slide")
    assert [level.shape[:2] for level in levels] == [(24_576 >> k, 24_576 >> k) for k in range(6)]
    files = [f for f in folders.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 20e6
    began = time.perf_counter()
    box = slice(10_000, 10_600), slice(24_000, 24_576)
    assert np.array_equal(levels[0][box], mirrored(*box))
    assert time.perf_counter() - began < 2


def test_each_level_of_the_slide_is_the_one_before_at_half_size() -> None:
    ((levels, *_),) = samples.slide()
    for k, (fine, coarse) in enumerate(pairwise(levels)):
        y, x = (levels[k].shape[0] - 900) // 4 * 2, 0
        pixels = fine[y : y + 600, x : x + 400].astype(float)
        halved = pixels.reshape(300, 2, 200, 2, 3).mean((1, 3))
        found = coarse[y // 2 : y // 2 + 300, x // 2 : x // 2 + 200]
        assert np.abs(np.rint(halved) - found).max() == 0, k


def test_the_slide_is_an_ome_zarr_that_others_read() -> None:
    import yaozarrs
    import zarr

    path = tissue.slide_path()
    yaozarrs.validate_zarr_store(str(path))
    array = zarr.open_group(path, mode="r")["0"]
    box = slice(600, 700), slice(500, 560)
    assert np.array_equal(np.asarray(array[:, *box]), mirrored(*box).transpose(2, 0, 1))
    source = open_image(path)
    assert (source.yx_shape(), source.n_channels) == ((24_576, 24_576), 3)


def test_the_slide_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = tissue.slide_path()
    monkeypatch.setattr(tissue, "_write", None)
    assert tissue.slide_path() == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_half_a_slide_is_none(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the midst of it: nothing is left, and the next time it is made."""

    def fail(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    write_level = tissue._write_level
    monkeypatch.setattr(tissue, "_write_level", fail)
    with pytest.raises(HQSAMError, match=r"slide.ome.zarr: .*No space left.*NAPARI_HQSAM_CACHE"):
        samples.slide()
    assert list((folders / "cache" / "samples").iterdir()) == []
    monkeypatch.setattr(tissue, "_write_level", write_level)
    assert len(samples.slide()[0][0]) == 6
