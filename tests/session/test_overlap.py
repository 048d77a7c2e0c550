from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.session.overlap import overlaps

from .scene import full, plane

pieces = st.tuples(
    st.integers(0, 1), st.integers(0, 8), st.integers(0, 8), st.integers(1, 4), st.integers(0, 99)
)


@given(st.lists(pieces, max_size=12))
def test_pairs_are_those_that_share_a_pixel(
    drawn: list[tuple[int, int, int, int, int]],
) -> None:
    objects = []
    for number, (z, y, x, side, seed) in enumerate(drawn, start=1):
        data = np.random.default_rng(seed).random((side, side)) < 0.5
        one = PlaneMask.of(plane(z), (y, x, y + side, x + side), data)
        objects.append(LabelObject(number, (one,)))
    expected = [
        (a.id, b.id)
        for a, b in combinations(objects, 2)
        if a.masks[0].plane == b.masks[0].plane and (full(a.masks[0]) & full(b.masks[0])).any()
    ]
    assert overlaps(reversed(objects)) == expected
