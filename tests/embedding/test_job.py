"""Jobs: progress, what is there already, and stopping in the middle."""

from __future__ import annotations

import math

from napari_hqsam.embedding.job import Job


def squares(done: dict[int, int]) -> Job[int, dict[int, int]]:
    def run(item: int) -> None:
        done[item] = item**2

    return Job(range(6), run, lambda item: item in done, lambda: done)


def test_progress_counts_what_was_there() -> None:
    done = {1: 1, 4: 16}
    steps = list(squares(done))
    assert [s.done for s in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1].skipped == 2
    assert steps[-1].seconds_left == 0
    assert all(s.total == 6 for s in steps)
    assert done == {i: i**2 for i in range(6)}


def test_the_result_runs_what_is_left() -> None:
    job = squares({})
    next(iter(job))
    assert job.result() == {i: i**2 for i in range(6)}


def test_closing_keeps_what_is_done_and_another_job_goes_on() -> None:
    done: dict[int, int] = {}
    with squares(done) as job:
        for step in job:
            if step.done == 3:
                break
    assert sorted(done) == [0, 1, 2]
    assert list(job) == []
    assert [s.skipped for s in squares(done)][-1] == 3


def test_nothing_is_known_of_the_time_before_the_first_item() -> None:
    step = next(iter(squares({0: 0})))
    assert math.isnan(step.seconds_left)
