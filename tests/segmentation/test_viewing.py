"""Which window an object is looked at in, when some are at hand already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_hqsam.images.windows import Window, grid, whole_plane
from napari_hqsam.segmentation import Mask, Prompts
from napari_hqsam.segmentation.viewing import Viewing, clicked_part

SHAPE, SIZE = (2000, 2000), 256
ONE_TO_ONE = grid(SHAPE, SIZE, 0)


def viewing(offered: list[Window] = (), side: float | None = None) -> Viewing:
    return Viewing(SHAPE, (), 0, SIZE, lambda box: [w for w in offered if w.meets(box)], side)


def mask_in(window: Window, bbox: tuple[int, int, int, int]) -> Mask:
    data = np.ones((bbox[2] - bbox[0], bbox[3] - bbox[1]), bool)
    logits = np.zeros((SIZE // 4, SIZE // 4), np.float32)
    return Mask(data, bbox, (), 1.0, window, logits, None)


@pytest.mark.parametrize("at", [(0, 0), (1000, 1000), (1999, 1999), (190, 1700)])
def test_a_click_is_looked_at_in_a_window_at_hand(at: tuple[int, int]) -> None:
    found = viewing(ONE_TO_ONE).of(Prompts([at]))
    assert found in ONE_TO_ONE
    # not near its edges, except where the plane ends
    for o, n, p, length in zip(found.origin, found.shape, at, SHAPE, strict=True):
        assert p - o >= 0.1 * found.side or o == 0
        assert o + n - p >= 0.1 * found.side or o + n == length


def test_of_several_zooms_the_one_on_the_screen() -> None:
    offered = [*ONE_TO_ONE, *grid(SHAPE, SIZE, 2), *grid(SHAPE, SIZE, -1)]
    click = Prompts([(1000, 1000)])
    assert viewing(offered, 4 * SIZE).of(click).side == 4 * SIZE
    assert viewing(offered, SIZE / 2).of(click).side == SIZE / 2
    assert viewing(offered).of(click).side == SIZE


def test_a_window_much_larger_than_the_view_is_not_taken() -> None:
    """What the user has zoomed in on would be small in it."""
    click = Prompts([(1000, 1000)])
    assert viewing(grid(SHAPE, SIZE, 2), SIZE / 2).of(click).side == SIZE
    assert viewing(grid(SHAPE, SIZE, 1), SIZE).of(click).side == 2 * SIZE


def test_a_box_takes_a_window_at_hand_only_if_it_is_seen_well_there() -> None:
    fits = Prompts(box=(900, 900, 1000, 1000))
    assert viewing(ONE_TO_ONE).of(fits) in ONE_TO_ONE
    tiny = Prompts(box=(900, 900, 920, 920))
    assert viewing(ONE_TO_ONE).of(tiny).side == 64
    large = Prompts(box=(500, 500, 900, 900))
    assert viewing(ONE_TO_ONE).of(large).side == 1024


def test_a_box_across_the_edge_of_windows_at_hand_gets_one_of_its_own() -> None:
    offered = [w for w in ONE_TO_ONE if w.origin == (192, 192)]
    box = Prompts(box=(380, 300, 480, 400))
    assert viewing(offered).of(box) not in offered
    assert viewing(offered).of(Prompts(box=(300, 300, 390, 390))) in offered


def test_nothing_at_hand_changes_nothing() -> None:
    click = Prompts([(1000, 1000)])
    elsewhere = grid(SHAPE, SIZE, 0, region=(0, 0, 100, 100))
    other_model = grid(SHAPE, 512, 0)
    assert viewing([*elsewhere, *other_model]).of(click) == viewing().of(click)


def test_an_object_cut_off_is_looked_at_in_another_window() -> None:
    window = next(w for w in ONE_TO_ONE if w.origin == (192, 192))
    click = Prompts([(400, 300)])
    cut = mask_in(window, (380, 290, 448, 320))
    found = viewing(ONE_TO_ONE).better(click, cut, closer=False)
    assert found is not None
    assert found.origin[0] + found.shape[0] > 448 + 10
    assert (
        viewing(ONE_TO_ONE).better(click, mask_in(window, (380, 290, 447, 320)), closer=False)
        is None
    )


def test_the_end_of_the_plane_cuts_nothing_off() -> None:
    window = next(w for w in ONE_TO_ONE if w.origin == (0, 0))
    click = Prompts([(5, 5)])
    assert viewing().better(click, mask_in(window, (0, 0, 30, 40)), closer=False) is None


def test_background_is_not_followed() -> None:
    window = next(w for w in ONE_TO_ONE if w.origin == (192, 192))
    everything = mask_in(window, (192, 192, 448, 448))
    assert viewing().better(Prompts([(300, 300)]), everything, closer=False) is None


def test_a_correction_keeps_its_window() -> None:
    window = whole_plane(SHAPE, SIZE)
    before = mask_in(window, (900, 900, 1000, 1000))
    assert viewing(ONE_TO_ONE).of(Prompts([(950, 950)]), before) == window


def test_specks_elsewhere_say_nothing_of_the_object() -> None:
    window = whole_plane((256, 256), SIZE)
    data = np.zeros((200, 200), bool)
    data[90:110, 90:110] = True  # what was clicked on
    data[0, 0] = data[199, 199] = True
    mask = replace(mask_in(window, (20, 20, 220, 220)), data=data)
    click = Prompts([(20 + 100, 20 + 100)])
    assert clicked_part(click, mask) == (110, 110, 130, 130)
    closer = Viewing((256, 256), (), 0, SIZE).better(click, mask, closer=True)
    assert closer is not None
    assert closer.side == 64
    # beside everything, on nothing, or outside the mask's box: not known
    for beside in ((30, 60), (255, 255)):
        assert clicked_part(Prompts([beside]), mask) is None
    both = Prompts([(120, 120), (20, 20)])
    assert clicked_part(both, mask) == (20, 20, 130, 130)
