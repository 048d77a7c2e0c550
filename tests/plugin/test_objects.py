"""The table of objects in a window: what clicks, keys and buttons make of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import MemoryLabels
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.objects import ObjectsWidget
from napari_hqsam.plugin.objects.table import Column
from napari_hqsam.session.record import NewObject, ObjectRecord
from napari_hqsam.session.session import Session

PLANE = ArrayPlane((0, 1), ())
LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier


def square(y: int, x: int, side: int) -> PlaneMask:
    return PlaneMask.of(PLANE, (y, x, y + side, x + side), np.ones((side, side), bool))


RECORDS = [
    ObjectRecord(1, (square(0, 0, 5),), class_name="cell", uncertainty=0.1),
    ObjectRecord(2, (square(0, 20, 8),), uncertainty=0.9, score=0.5),
    ObjectRecord(3, (square(20, 0, 4),), class_name="cell", uncertainty=0.5),
    ObjectRecord(4, (square(20, 20, 9),), class_name="fibre", score=0.7),
]


def session_of(*records: ObjectRecord, shape: tuple[int, int] = (60, 60)) -> Session:
    labels = np.zeros(shape, dtype=np.uint32)
    for record in records:
        for mask in record.masks:
            labels[PLANE.region(*mask.bbox)][mask.data] = record.id
    session = Session(MemoryLabels(labels))
    session.adopt(records)
    return session


@pytest.fixture
def session() -> Session:
    return session_of(*RECORDS)


@pytest.fixture
def widget(qtbot: Any, session: Session) -> Iterator[ObjectsWidget]:
    shown = ObjectsWidget()
    qtbot.addWidget(shown)
    shown.resize(420, 600)
    shown.set_session(session)
    shown.show()
    yield shown
    shown.set_session(None)


@pytest.fixture
def went(widget: ObjectsWidget) -> list[int]:
    there: list[int] = []
    widget.go_to.connect(there.append)
    return there


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    for kind in ("show_warning", "show_info"):
        monkeypatch.setattr(f"napari_hqsam.plugin.objects.widget.{kind}", lines.append)
    return lines


def shown(widget: ObjectsWidget, column: int = Column.ID) -> list[str]:
    model = widget.model
    return [model.index(row, column).data() for row in range(model.rowCount())]


def place(widget: ObjectsWidget, label: int) -> QPoint:
    row = widget.model.row_of(label)
    assert row is not None
    return widget.view.visualRect(widget.model.index(row, Column.CLASS)).center()


def click(qtbot: Any, widget: ObjectsWidget, label: int, *keys: Any) -> None:
    qtbot.mouseClick(widget.view.viewport(), LEFT, *keys, pos=place(widget, label))


def sort(widget: ObjectsWidget, column: int, descending: bool = False) -> None:
    order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
    widget.view.sortByColumn(column, order)


def test_rows_follow_the_session_without_being_made_anew(
    widget: ObjectsWidget, session: Session
) -> None:
    sort(widget, Column.SIZE)
    resets: list[None] = []
    widget.model.modelReset.connect(lambda: resets.append(None))
    assert shown(widget) == ["3", "1", "2", "4"]
    (label,) = session.commit([NewObject((square(40, 40, 6),), score=0.25)])
    assert shown(widget) == ["3", "1", str(label), "2", "4"]
    assert shown(widget, Column.SCORE)[2] == "0.25"
    session.merge([1, 2])
    assert shown(widget) == ["3", str(label), "4", "1"]
    assert shown(widget, Column.SIZE) == ["16", "36", "81", "89"]
    session.undo()
    session.undo()
    assert shown(widget) == ["3", "1", "2", "4"]
    session.set_class([3], "fibre")
    assert shown(widget, Column.CLASS)[0] == "fibre"
    assert not resets


def test_the_selection_survives_sorting_filtering_and_what_others_do(
    widget: ObjectsWidget, session: Session, went: list[int]
) -> None:
    widget.select([3, 1])
    assert (widget.chosen, widget.current) == ([1, 3], 3)
    sort(widget, Column.UNCERTAINTY, descending=True)
    assert shown(widget) == ["2", "3", "1", "4"]
    assert widget.chosen == [3, 1]
    session.commit([NewObject((square(40, 40, 6),), uncertainty=0.7)])
    assert widget.chosen == [3, 1]
    widget.controls.text.setText("cell")
    assert shown(widget) == ["3", "1"]
    assert widget.chosen == [3, 1]
    session.delete([3])
    assert widget.chosen == [1]
    assert went == []


def test_a_row_that_moves_takes_its_selection_along(
    widget: ObjectsWidget, session: Session
) -> None:
    sort(widget, Column.STATUS)
    widget.select([1, 3])
    session.set_status([1], "accepted")
    assert (shown(widget), widget.chosen) == (["2", "3", "4", "1"], [3, 1])
    session.set_status([4], "to fix")
    assert (shown(widget), widget.chosen) == (["4", "2", "3", "1"], [3, 1])
    session.set_status([2, 3], "accepted")
    assert (shown(widget), widget.chosen) == (["4", "1", "2", "3"], [1, 3])
    for _ in range(3):
        session.undo()
    assert (shown(widget), widget.chosen) == (["1", "2", "3", "4"], [1, 3])


def test_rows_of_objects_that_are_gone_may_still_be_painted(
    widget: ObjectsWidget, session: Session
) -> None:
    seen: list[list[str]] = []
    widget.model.rowsAboutToBeRemoved.connect(lambda *_args: seen.append(shown(widget)))
    session.delete([1, 3])
    assert len(seen) == 2
    assert shown(widget) == ["2", "4"]


def test_a_click_goes_there_and_a_click_with_control_adds_to_the_choice(
    qtbot: Any, widget: ObjectsWidget, went: list[int]
) -> None:
    click(qtbot, widget, 3)
    click(qtbot, widget, 3)  # the view may have been moved away
    assert went == [3, 3]
    click(qtbot, widget, 1, CONTROL)
    assert (widget.chosen, went) == ([1, 3], [3, 3])


def test_keys_work_while_the_table_has_the_keyboard(
    qtbot: Any, widget: ObjectsWidget, session: Session, went: list[int]
) -> None:
    widget.activateWindow()
    qtbot.waitUntil(widget.isActiveWindow)
    click(qtbot, widget, 1)
    qtbot.keyClick(widget.view, Qt.Key.Key_Down)
    assert went == [1, 2]
    qtbot.keyClick(widget.view, Qt.Key.Key_A)
    assert session.objects[2].status == "accepted"
    assert went == [1, 2, 3]
    qtbot.keyClick(widget.view, Qt.Key.Key_Delete)
    assert 3 not in session.objects
    assert went == [1, 2, 3, 1]


def test_proofreading_goes_on_by_itself_and_undo_comes_back(
    qtbot: Any, widget: ObjectsWidget, session: Session, went: list[int]
) -> None:
    qtbot.mouseClick(widget.controls.next, LEFT)
    assert widget.controls.progress.text() == "0 of 4 reviewed"
    qtbot.mouseClick(widget.controls.accept, LEFT)
    qtbot.mouseClick(widget.controls.delete, LEFT)
    qtbot.mouseClick(widget.controls.later, LEFT)
    assert went == [2, 3, 1, 4]
    assert widget.controls.progress.text() == "2 of 3 reviewed"
    assert {r.id: r.status for r in session.objects.values()} == {
        1: "to fix",
        2: "accepted",
        4: "new",
    }
    for label in (1, 3, 2):
        session.undo()
        assert widget.current == label
        assert widget.chosen == [label]
        assert went[-1] == label
    assert widget.controls.progress.text() == "0 of 4 reviewed"


def test_deleting_a_row_that_was_clicked_does_not_move_the_picture(
    qtbot: Any, widget: ObjectsWidget, session: Session, went: list[int]
) -> None:
    click(qtbot, widget, 4)
    qtbot.mouseClick(widget.controls.delete, LEFT)
    assert list(session.objects) == [1, 2, 3]
    assert went == [4]


def test_buttons_act_on_all_that_are_selected(
    qtbot: Any, widget: ObjectsWidget, session: Session
) -> None:
    c = widget.controls
    assert not c.merge.isEnabled()
    assert not c.accept.isEnabled()
    widget.select([4, 3])
    assert not c.split.isEnabled()
    c.class_name.setEditText(" axon ")
    qtbot.mouseClick(c.set_class, LEFT)
    assert [session.objects[i].class_name for i in (3, 4)] == ["axon", "axon"]
    assert c.class_name.findText("axon") >= 0
    assert c.class_filter.findText("axon") >= 0
    assert c.class_filter.findText("fibre") < 0
    qtbot.mouseClick(c.merge, LEFT)
    assert list(session.objects) == [1, 2, 3]
    assert session.objects[3].area == 16 + 81
    assert widget.chosen == [3]


def test_fix_and_split_ask_others(qtbot: Any, widget: ObjectsWidget) -> None:
    asked: list[tuple[str, int]] = []
    widget.reopen.connect(lambda label: asked.append(("reopen", label)))
    widget.split_wanted.connect(lambda label: asked.append(("split", label)))
    widget.select([3])
    qtbot.mouseClick(widget.controls.fix, LEFT)
    qtbot.mouseClick(widget.controls.split, LEFT)
    assert asked == [("reopen", 3), ("split", 3)]
    assert widget.current == 3


def test_many_are_smoothed_one_by_one_and_it_can_be_stopped(
    qtbot: Any, widget: ObjectsWidget, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoothed: list[tuple[int, int]] = []
    monkeypatch.setattr(session, "smooth", lambda i, radius: smoothed.append((i, radius)))
    widget.controls.radius.setValue(5)
    widget.select([1, 2, 4])
    qtbot.mouseClick(widget.controls.smooth, LEFT)
    assert smoothed == [(1, 5)]
    assert widget.controls.cancel.isVisible()
    session.delete([2])
    qtbot.waitUntil(lambda: not widget.controls.cancel.isVisible())
    assert smoothed == [(1, 5), (4, 5)]
    widget.select([1, 3, 4])
    widget.smooth_chosen()
    qtbot.mouseClick(widget.controls.cancel, LEFT)
    qtbot.wait(20)
    assert len(smoothed) == 3
    assert not widget.controls.work.isVisible()


def test_what_the_session_refuses_is_one_line(
    widget: ObjectsWidget, session: Session, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any) -> None:
        raise HQSAMError("the disk is full")

    for name in ("delete", "merge", "smooth", "set_status", "set_class"):
        monkeypatch.setattr(session, name, refuse)
    widget.select([1, 2])
    steps: list[Callable[[], None]] = [
        widget.delete_current,
        widget.merge_chosen,
        widget.smooth_chosen,
        widget.accept_current,
        widget.set_class_of_chosen,
    ]
    for n, step in enumerate(steps, 1):
        step()
        assert said == ["HQ-SAM: the disk is full"] * n
    assert (widget.chosen, widget.current) == ([1, 2], 1)


def test_filters_by_class_and_status(widget: ObjectsWidget, session: Session) -> None:
    c = widget.controls
    c.class_filter.setCurrentIndex(c.class_filter.findText("cell"))
    assert shown(widget) == ["1", "3"]
    assert c.count.text() == "2 of 4 objects shown"
    assert c.progress.text() == "0 of 2 reviewed"
    c.status_filter.setCurrentIndex(c.status_filter.findText("new"))
    session.set_status([1], "accepted")
    assert shown(widget) == ["3"]
    assert c.progress.text() == "1 of 2 reviewed"
    session.set_class([1, 3], "")  # the class is gone: the choice stays until it is changed
    assert shown(widget) == []
    assert c.class_filter.currentText() == "cell"
    c.class_filter.setCurrentIndex(c.class_filter.findText("No class"))
    assert shown(widget) == ["2", "3"]


def test_only_rows_on_display_cost_and_thousands_selected_stay_so(
    qtbot: Any, widget: ObjectsWidget
) -> None:
    mask = square(0, 0, 2)
    many = session_of(
        *(ObjectRecord(i, (mask,), score=i % 97 / 97) for i in range(1, 3001)), shape=(4, 4)
    )
    asked: list[int] = []

    def colour_of(label: int) -> tuple[float, float, float]:
        asked.append(label)
        return (1.0, 0.5, 0.0)

    widget.set_session(many, None, colour_of)
    qtbot.waitUntil(lambda: len(asked) > 5)
    assert len(set(asked)) < 100
    widget.view.selectAll()
    sort(widget, Column.SCORE)
    assert len(widget.chosen) == 3000
    assert len(widget.view.selectionModel().selection()) == 1  # one range, not thousands
    many.set_status(range(1, 3001), "accepted")
    assert widget.controls.progress.text() == "3,000 of 3,000 reviewed"
    assert len(widget.chosen) == 3000


def test_another_session_and_none(widget: ObjectsWidget, session: Session) -> None:
    widget.select([2])
    other = session_of(ObjectRecord(2, (square(1, 1, 3),)))
    widget.set_session(other)
    assert shown(widget) == ["2"]
    assert widget.chosen == []  # another object with the same id
    session.delete([1])
    assert widget.model.rowCount() == 1
    widget.set_session(None)
    assert widget.model.rowCount() == 0
    widget.accept_current()
    widget.smooth_chosen()
    assert not widget.controls.next.isEnabled()


def test_a_session_may_outlive_the_widget(qtbot: Any, session: Session) -> None:
    gone = ObjectsWidget()
    gone.set_session(session)
    with qtbot.waitSignal(gone.destroyed):
        gone.deleteLater()
    session.delete([1])
    assert 1 not in session.objects


def test_ids_beyond_a_c_int(qtbot: Any, widget: ObjectsWidget, went: list[int]) -> None:
    huge = 3_000_000_000
    widget.set_session(session_of(ObjectRecord(huge, (square(0, 0, 3),))))
    widget.next_uncertain()
    assert went == [huge]
    widget.select([huge])
    qtbot.keyClick(widget.view, Qt.Key.Key_Return)
    assert went == [huge, huge]
