"""Which windows a job encodes, and what that costs."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hqsam.embedding.plan import estimate, plan_windows
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, open_image
from napari_hqsam.modeling import build


@pytest.fixture
def source() -> ImageSource:
    return open_image(np.zeros((3, 200, 300), np.uint8), axes="zyx")


def test_every_plane_is_covered(source: ImageSource) -> None:
    windows = plan_windows(source, 128)
    assert {w.plane for w in windows} == {(0,), (1,), (2,)}
    assert [w.plane for w in windows] == sorted(w.plane for w in windows)
    assert len(windows) == 3 * 2 * 3
    assert all(w.side == 128 for w in windows)


def test_planes_region_and_octaves(source: ImageSource) -> None:
    (window,) = plan_windows(source, 128, [(2,)], (0, 0, 60, 60))
    assert (window.plane, window.origin) == ((2,), (0, 0))
    sides = {w.side for w in plan_windows(source, 128, [(0,)], octaves=(-1, 0, 1))}
    assert sides == {64, 128, 256}


def test_the_whole_plane_is_encoded_once(source: ImageSource) -> None:
    """Windows of octaves beyond the plane's size are all alike."""
    assert len(plan_windows(source, 128, [(0,)], octaves=(3, 4, 5))) == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"region": (0, 0, 300, 50)}, "region 0,0,300,50: it must lie"),
        ({"region": (50, 50, 50, 80)}, "region"),
        ({"planes": [(3,)]}, "z = 3 is outside"),
        ({"octaves": (-4,)}, "octave -4: windows are magnified 8× at most"),
        ({"overlap": 1.5}, "overlap 1.5"),
    ],
)
def test_what_is_not_there_is_refused(source: ImageSource, option: dict, message: str) -> None:
    with pytest.raises(HQSAMError, match=message):
        plan_windows(source, 128, **option)


def test_the_estimate_is_what_a_store_takes() -> None:
    model = build("micro", input_size=64)
    found = estimate(model, 10, 0.5)
    assert found.seconds == 5
    assert found.bytes == 10 * 2 * (256 * 4 * 4 + 32 * 16 * 16)
