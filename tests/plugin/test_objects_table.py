"""Rows, their order, and the queue of proofreading, without a window."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from napari_hqsam.labels.calibration import Calibration
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.objects.order import Order
from napari_hqsam.plugin.objects.proofreading import Proofreading
from napari_hqsam.plugin.objects.table import Column, Filter, ObjectTable
from napari_hqsam.session.record import ObjectRecord

UM = ("micrometer",) * 3


def mask(area: int, *index: int) -> PlaneMask:
    return PlaneMask.of(
        ArrayPlane((len(index), len(index) + 1), index), (0, 0, 1, area), np.ones((1, area), bool)
    )


def record(label: int, area: int = 4, **more: object) -> ObjectRecord:
    return ObjectRecord(label, (mask(area),), **more)  # type: ignore[arg-type]


def as_dict(*records: ObjectRecord) -> dict[int, ObjectRecord]:
    return {r.id: r for r in records}


def in_order(table: ObjectTable, column: int, descending: bool) -> list[int]:
    return sorted(table.objects, key=table.key(column, descending))


def test_sizes_are_in_micrometres_if_the_steps_are_known() -> None:
    objects = as_dict(record(1, 50))
    assert ObjectTable(objects).text(1, Column.SIZE) == "50"
    assert ObjectTable(objects).title(Column.SIZE) == "px"
    flat = ObjectTable(objects, Calibration("yx", (0.5, 200.0), ("micrometer", "nanometer")))
    assert flat.size(1) == pytest.approx(50 * 0.5 * 0.2)
    assert flat.title(Column.SIZE) == "µm²"
    unknown = ObjectTable(objects, Calibration("yx", (0.5, 0.5), ("micrometer", "pixel")))
    assert (unknown.size(1), unknown.unit) == (50, "px")


def test_a_volume_counts_all_planes_and_a_track_the_mean_of_its_time_points() -> None:
    objects = {7: ObjectRecord(7, (mask(10, 0), mask(20, 1)))}
    stack = ObjectTable(objects, Calibration("zyx", (2.0, 0.5, 0.5), UM))
    assert stack.size(7) == pytest.approx(30 * 2 * 0.25)
    assert (stack.size_name, stack.unit) == ("volume", "µm³")
    film = ObjectTable(objects, Calibration("tyx", (60.0, 1.0, 1.0), ("second", *UM[1:])))
    assert film.size(7) == 15
    both = {7: ObjectRecord(7, (mask(10, 0, 0), mask(20, 0, 1), mask(6, 3, 0)))}
    assert ObjectTable(both, Calibration("tzyx", (1.0,) * 4, ("second", *UM))).size(7) == 18


def test_a_changed_object_is_measured_again() -> None:
    objects = as_dict(record(1, 5))
    table = ObjectTable(objects)
    assert table.size(1) == 5
    objects[1] = record(1, 9)
    table.forget([1])
    assert table.size(1) == 9


def test_every_column_sorts_both_ways_with_what_is_unknown_last() -> None:
    table = ObjectTable(
        as_dict(
            record(1, 9, class_name="b", score=0.5, status="accepted"),
            record(2, 3, class_name="ab", uncertainty=0.1),
            record(3, 5, score=0.9, uncertainty=float("nan"), status="to fix"),
            record(4, 3, class_name="A", score=0.7, uncertainty=0.8),
        )
    )
    expected = {
        Column.ID: ([1, 2, 3, 4], [4, 3, 2, 1]),
        Column.CLASS: ([4, 2, 1, 3], [1, 2, 4, 3]),
        Column.SIZE: ([2, 4, 3, 1], [1, 3, 2, 4]),
        Column.SCORE: ([1, 4, 3, 2], [3, 4, 1, 2]),
        Column.UNCERTAINTY: ([2, 4, 1, 3], [4, 2, 1, 3]),
        Column.STATUS: ([3, 2, 4, 1], [1, 2, 4, 3]),
    }
    for column, (up, down) in expected.items():
        assert in_order(table, column, False) == up, column
        assert in_order(table, column, True) == down, column
    assert table.text(3, Column.UNCERTAINTY) == ""


def test_a_filter_takes_class_status_words_and_ids() -> None:
    some = record(112, class_name="Pyramidal neuron", status="to fix")
    assert Filter(text="neuro PYR").admits(some)
    assert Filter(text="11 neuron").admits(some)
    assert not Filter(text="12").admits(some)
    assert not Filter(class_name="").admits(some)
    assert Filter(class_name="").admits(record(1))
    assert not Filter(status="new").admits(some)
    assert Filter(status="new").admits_kind(some)


def test_the_order_stays_that_of_a_sort_whatever_comes_and_goes() -> None:
    values: dict[int, int] = {}
    order, rng = Order(lambda i: (values[i], i)), random.Random(0)
    for _ in range(500):
        label = rng.randrange(40)
        if label not in values:
            values[label] = rng.randrange(10)
            place = order.place(label)
            order.insert(label)
            assert order.ids[place] == label
        elif rng.random() < 0.5:
            del values[label]
            order.remove(label)
        else:
            values[label] = rng.randrange(10)
            place = order.place(label)
            order.remove(label)
            order.insert(label)
            assert order.ids[place] == label
        assert order.ids == sorted(values, key=lambda i: (values[i], i))
        assert [order.position(i) for i in order.ids] == list(range(len(values)))
    assert order.position(99) is None


@pytest.fixture
def objects() -> dict[int, ObjectRecord]:
    return as_dict(
        record(1, score=0.9),
        record(2, uncertainty=0.2, score=0.1),
        record(3, uncertainty=0.7),
        record(4),
        record(5, score=0.6),
    )


def review(queue: Proofreading, objects: dict[int, ObjectRecord], label: int, status: str) -> None:
    def step() -> None:
        objects[label] = replace(objects[label], status=status)
        queue.refresh([label])

    queue.leave([label], step)


def test_the_queue_goes_from_doubtful_to_sure_and_past_what_is_reviewed(
    objects: dict[int, ObjectRecord],
) -> None:
    queue = Proofreading(objects)
    assert queue.progress == (0, 5)
    went = [queue.next()]
    for _ in range(4):
        review(queue, objects, queue.current or 0, "accepted")
        went.append(queue.current)
    assert went == [3, 2, 5, 1, 4]
    assert queue.progress == (4, 5)
    review(queue, objects, 4, "accepted")
    assert queue.progress == (5, 5)
    assert queue.previous() == 1  # one may look back


def test_what_is_to_be_fixed_comes_when_nothing_new_is_left(
    objects: dict[int, ObjectRecord],
) -> None:
    queue = Proofreading(objects)
    queue.next()
    review(queue, objects, 3, "to fix")
    for label in (2, 5, 1, 4):
        assert queue.current == label
        review(queue, objects, label, "accepted")
    assert queue.current == 3


def test_an_undone_review_or_deletion_brings_its_place_back(
    objects: dict[int, ObjectRecord],
) -> None:
    queue, back = Proofreading(objects), []
    queue.came_back.connect(back.append)
    queue.next()
    before = objects[3]
    review(queue, objects, 3, "accepted")
    two = objects[2]

    def delete() -> None:
        del objects[2]
        queue.refresh([2])

    queue.leave([2], delete)
    assert (queue.current, queue.progress) == (5, (1, 4))
    objects[2] = two  # undo, and again
    queue.refresh([2])
    assert (queue.current, back) == (2, [2])
    objects[3] = before
    queue.refresh([3])
    assert (queue.current, back, queue.progress) == (3, [2, 3], (0, 5))
    assert queue.next() == 2


def test_new_objects_and_changes_elsewhere_do_not_move_the_queue(
    objects: dict[int, ObjectRecord],
) -> None:
    queue, back = Proofreading(objects), []
    queue.came_back.connect(back.append)
    queue.next()
    objects[9] = record(9, uncertainty=0.99)
    objects[4] = replace(objects[4], status="accepted")
    queue.refresh([4, 9])
    assert (queue.current, back, queue.progress) == (3, [], (1, 6))
    assert queue.previous() == 9


def test_a_step_that_fails_leaves_the_queue_where_it_is(objects: dict[int, ObjectRecord]) -> None:
    queue = Proofreading(objects)
    queue.next()

    def refuse() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        queue.leave([3], refuse)
    assert queue.current == 3
    assert queue.next() == 2


def test_only_the_class_that_is_shown_is_proofread(objects: dict[int, ObjectRecord]) -> None:
    objects[2] = replace(objects[2], class_name="cell")
    objects[4] = replace(objects[4], class_name="cell")
    queue = Proofreading(objects)
    queue.include(Filter(class_name="cell", status="accepted").admits_kind)
    assert queue.progress == (0, 2)
    assert [queue.next(), queue.next(), queue.next()] == [2, 4, 2]
