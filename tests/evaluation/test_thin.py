"""Figures of thin structures, on lines whose lengths can be counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.thin import cl_dice, false_branches, missed_length


def canvas(*lines: tuple[int, int, int, int], shape: tuple[int, int] = (80, 100)) -> np.ndarray:
    """Straight lines of 1 pixel from (y, x) to (y, x), both included; also exact diagonals."""
    mask = np.zeros(shape, dtype=bool)
    for y0, x0, y1, x1 in lines:
        n = max(abs(y1 - y0), abs(x1 - x0)) + 1
        mask[np.linspace(y0, y1, n).round().astype(int), np.linspace(x0, x1, n).astype(int)] = True
    return mask


def thick(mask: np.ndarray, by: int = 1) -> np.ndarray:
    return binary_dilation(mask, np.ones((3, 3), dtype=bool), iterations=by)


EMPTY = canvas()
LINE = canvas((40, 10, 40, 50))  # 41 pixels


def test_cl_dice_of_lines() -> None:
    assert cl_dice(LINE, LINE) == 1
    # Half of it: all that is predicted is true, 21 of 41 pixels are found.
    half = canvas((40, 10, 40, 30))
    sensitivity = 21 / 41
    assert cl_dice(LINE, half) == pytest.approx(2 * sensitivity / (1 + sensitivity))
    assert cl_dice(half, LINE) == cl_dice(LINE, half)
    assert cl_dice(LINE, canvas((45, 10, 45, 50))) == 0


def test_cl_dice_is_lenient_about_width_and_hard_on_a_break() -> None:
    truth = thick(LINE, 2)
    wide = thick(LINE, 4)
    broken = truth.copy()
    broken[:, 25:36] = False
    assert cl_dice(truth, wide) > 0.98
    assert cl_dice(truth, broken) < 0.9
    assert np.count_nonzero(wide) / np.count_nonzero(truth) > 1.9


def test_cl_dice_of_empty_masks() -> None:
    assert cl_dice(EMPTY, EMPTY) == 1
    assert cl_dice(LINE, EMPTY) == 0
    assert cl_dice(EMPTY, LINE) == 0


def test_missed_length_of_a_line() -> None:
    assert missed_length(LINE, LINE) == 0
    assert missed_length(LINE, EMPTY) == 1
    assert missed_length(EMPTY, LINE) == 0
    # From x = 10 to 50, predicted from 31 on: 10 to 28 lie farther than 2, 10 to 30 farther than 0.
    late = canvas((40, 31, 40, 50))
    assert missed_length(LINE, late) == pytest.approx(19 / 41)
    assert missed_length(LINE, late, tolerance=0) == pytest.approx(21 / 41)
    # Beside it by 2 is near enough, by 3 is not.
    assert missed_length(LINE, canvas((42, 10, 42, 50))) == 0
    assert missed_length(LINE, canvas((43, 10, 43, 50))) == 1


def test_a_diagonal_is_longer_than_its_pixels() -> None:
    # A straight line of 11 pixels and, far away, a diagonal of 11: 11 and 10 √2 + 1.
    truth = canvas((5, 5, 5, 15), (40, 40, 50, 50))
    diagonal = 10 * np.sqrt(2) + 1
    found = canvas((5, 5, 5, 15))
    assert missed_length(truth, found) == pytest.approx(diagonal / (diagonal + 11))


def test_a_crossing_has_no_shortcuts() -> None:
    # Four arms of 10 pixels, half a pixel more at each of the four ends; two arms are missed.
    bar, cross = (30, 20, 30, 40), canvas((30, 20, 30, 40), (20, 30, 40, 30))
    assert missed_length(cross, canvas(bar), tolerance=0) == pytest.approx(20 / 42)


def test_a_single_pixel_is_one_long() -> None:
    truth = canvas((10, 10, 10, 10), (40, 10, 40, 12))
    assert missed_length(truth, canvas((40, 10, 40, 12))) == pytest.approx(1 / 4)


def test_nothing_false_in_the_truth() -> None:
    assert false_branches(LINE, LINE) == 0
    assert false_branches(LINE, EMPTY) == 0
    assert false_branches(EMPTY, EMPTY) == 0


def test_stray_lines_are_counted_from_the_shortest_on() -> None:
    nine, ten = (10, 10, 10, 18), (20, 10, 20, 19)
    assert false_branches(LINE, LINE | canvas(nine)) == 0
    assert false_branches(LINE, LINE | canvas(nine, ten)) == 1
    assert false_branches(LINE, LINE | canvas(nine, ten), shortest=9) == 2
    assert false_branches(EMPTY, canvas(nine, ten), shortest=9) == 2


def test_a_line_beside_the_truth_is_the_truth_within_the_tolerance() -> None:
    beside = canvas((43, 10, 43, 50))
    assert false_branches(LINE, beside) == 1
    assert false_branches(LINE, beside, tolerance=3) == 0


def test_a_side_branch_sticks_out_of_the_tolerance() -> None:
    # From the line at y = 40 up: y = 37 is the first pixel that is farther than 2.
    assert false_branches(LINE, LINE | canvas((39, 30, 28, 30))) == 1  # 37 to 28: 10 pixels
    assert false_branches(LINE, LINE | canvas((39, 30, 29, 30))) == 0


def test_a_bridge_is_one_branch() -> None:
    truth = LINE | canvas((10, 10, 10, 50))
    assert false_branches(truth, truth | canvas((10, 30, 40, 30))) == 1


def test_a_side_branch_that_forks_is_two() -> None:
    # The fork is 7 pixels beyond the tolerance: nearer to the truth than a branch is long.
    fork = canvas((39, 30, 31, 30), (30, 29, 15, 14), (30, 31, 15, 46))
    assert false_branches(LINE, LINE | fork) == 2
    # By itself it is a V with a stub.
    assert false_branches(EMPTY, fork) == 1


def test_a_continued_line_is_false_where_it_goes_on() -> None:
    assert false_branches(LINE, canvas((40, 10, 40, 90))) == 1
    assert false_branches(LINE, canvas((40, 10, 40, 61))) == 0  # 53 to 61
    assert false_branches(LINE, canvas((40, 10, 40, 62))) == 1


def test_forks_are_counted_as_courses() -> None:
    stem, arms = (70, 50, 50, 50), ((49, 49, 30, 30), (49, 51, 35, 65))
    y = canvas(stem, *arms)
    assert false_branches(EMPTY, y) == 2
    assert false_branches(EMPTY, thick(y)) == 2
    # The arms are 29 and 21 long: the shorter is its own course, the longer goes on from the stem.
    assert false_branches(EMPTY, y, shortest=25) == 1
    cross = canvas((40, 10, 40, 90), (10, 50, 70, 50))
    assert false_branches(EMPTY, cross) == 3  # the longest, and two arms that end at it


def test_spurs_are_not_branches() -> None:
    spurs = [(39, x, 36, x) for x in range(15, 50, 5)]
    assert false_branches(EMPTY, LINE | canvas(*spurs)) == 1
    assert false_branches(EMPTY, LINE | canvas(*spurs), shortest=3) == 8


def test_a_ring_is_one_branch_and_a_disc_none() -> None:
    y, x = np.mgrid[:80, :100]
    r = np.hypot(y - 40, x - 50)
    assert false_branches(EMPTY, (r < 20) & (r > 16)) == 1
    assert false_branches(EMPTY, r < 20) == 0


@pytest.mark.parametrize("where", [np.s_[:, :], np.s_[8:, 5:], np.s_[8:63, 9:93]])
def test_a_part_that_holds_both_masks_gives_the_same_figures(where) -> None:  # type: ignore[no-untyped-def]
    truth = thick(LINE | canvas((60, 20, 40, 40)), 1)
    predicted = thick(canvas((40, 20, 40, 90), (40, 60, 10, 60)), 1)
    t, p = truth[where], predicted[where]
    assert cl_dice(t, p) == cl_dice(truth, predicted)
    assert missed_length(t, p) == missed_length(truth, predicted)
    assert false_branches(t, p) == false_branches(truth, predicted) == 2


@pytest.mark.parametrize("measure", [cl_dice, missed_length, false_branches])
def test_masks_that_cannot_be_compared(measure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(HQSAMError, match="shape"):
        measure(LINE, LINE[:-1])
