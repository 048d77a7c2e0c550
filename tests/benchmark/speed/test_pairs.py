from __future__ import annotations

import pytest

from napari_hqsam.benchmark.speed.pairs import Times, in_turn


def test_rounds_alternate_and_the_first_does_not_count(clock: list[float]) -> None:
    order: list[str] = []

    def run(name: str, took: float) -> None:
        order.append(name)
        clock[0] += took * (100 if len(order) <= 2 else len(order))

    runs = {"plain": lambda: run("plain", 3), "fast": lambda: run("fast", 1)}
    told: list[str] = []
    times = in_turn(runs, 2, tell=told.append)
    assert order == ["plain", "fast", "fast", "plain", "plain", "fast"]
    assert times.rounds == {"plain": [12, 15], "fast": [3, 6]}
    assert told == [
        "plain, to warm up",
        "fast, to warm up",
        "fast, round 1 of 2",
        "plain, round 1 of 2",
        "plain, round 2 of 2",
        "fast, round 2 of 2",
    ]


def test_waiting_for_a_gpu_is_part_of_a_run(clock: list[float]) -> None:
    def finish() -> None:
        clock[0] += 5

    def run() -> None:
        clock[0] += 1

    assert in_turn({"a": run}, 1, finish=finish).rounds == {"a": [6]}


def test_the_first_round_may_be_a_shorter_one(clock: list[float]) -> None:
    ran: list[str] = []
    runs, first = {"a": lambda: ran.append("long")}, {"a": lambda: ran.append("short")}
    in_turn(runs, 2, first=first)
    assert ran == ["short", "long", "long"]


def test_ratios_are_those_of_each_round() -> None:
    # the machine was three times as slow in the second round: no ratio of medians would be right
    times = Times({"plain": [4.0, 12.0, 4.0], "fast": [2.0, 6.0, 1.0]})
    assert times.ratios("plain", "fast") == [2, 2, 4]
    figure = times.figure("how fast", "plain", "fast", 2.5, "more")
    assert (figure.value, figure.met, figure.about) == (2, False, "rounds 2.00 to 4.00; more")
    assert (times.median("fast"), times.best("fast")) == (2, 1)
    table = times.table("times")
    assert table.columns == ("round", "plain", "fast")
    assert table.rows[1] == (2, pytest.approx(12_000), pytest.approx(6000))
