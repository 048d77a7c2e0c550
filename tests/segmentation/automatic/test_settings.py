"""Settings out of range are refused in one line that names them."""

from __future__ import annotations

from typing import Any

import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.segmentation.automatic import AutomaticSettings


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"method": "magic"}, "method 'magic'"),
        ({"diameter": 0}, "diameter 0"),
        ({"diameter": float("nan")}, "diameter nan"),
        ({"points_per_side": 0}, "points per side 0"),
        ({"min_iou": 1.2}, "min iou 1.2"),
        ({"min_stability": -1}, "min stability -1"),
        ({"max_overlap": 2}, "max overlap 2"),
        ({"min_size": -1}, "min. size -1"),
        ({"min_size": 9, "max_size": 8}, "max. size 8"),
        ({"max_size": 0}, "max. size 0"),
        ({"crops": 9}, "crops 9"),
        ({"threshold": float("inf")}, "threshold inf"),
    ],
)
def test_what_is_out_of_range_is_named(option: dict[str, Any], named: str) -> None:
    with pytest.raises(HQSAMError) as refused:
        AutomaticSettings(**option)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
