"""What the engine answers, what it computes for that, and that it ends."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.modeling import Decoded
from napari_hqsam.plugin.engine import Engine
from napari_hqsam.plugin.request import Request, Subject, corrected
from napari_hqsam.segmentation import Mask, Prompts

from .conftest import BrightInBox

PLANE = ArrayPlane((0, 1), ())
# Brightness falls off from two middles, so that every threshold gives another mask.
Y, X = np.mgrid[:240, :250]
HILLS = np.maximum(60 - np.hypot(Y - 70, X - 70), 60 - np.hypot(Y - 170, X - 180)).clip(0, 60)
PICTURE = (HILLS * 4).astype(np.uint8)
BOXES = [(20, 20, 120, 120), (120, 130, 220, 230), (30, 30, 110, 110)]


class Several(BrightInBox):
    """Its candidates are smaller than its single mask, the second the best."""

    def decode(self, *given: Any, **options: Any) -> Decoded:
        found = super().decode(*given, **options)
        candidates = found.sam - torch.tensor([0, 0.2, 0.4, 0.6])[:, None, None]
        scores = torch.tensor([0.5, 0.6, 0.9, 0.7]).expand(len(candidates), 4)
        return Decoded(candidates, found.hq, scores)


class Heard:
    """What an engine says, in order."""

    def __init__(self, engine: Engine) -> None:
        self.answers: list[tuple[Request, list[Mask]]] = []
        self.candidates: list[tuple[Request, list[Mask]]] = []
        self.glances: list[tuple[Request, Mask | None]] = []
        self.failures: list[str] = []
        self.stages: list[str] = []
        self.threads: set[str] = set()
        engine.answered.connect(self._on_answer)
        engine.candidates.connect(lambda r, m: self.candidates.append((r, m)))
        engine.glanced.connect(lambda r, m: self.glances.append((r, m)))
        engine.failed.connect(self.failures.append)
        engine.stage.connect(lambda text, _done, _total: self.stages.append(text))

    def _on_answer(self, request: Request, masks: list[Mask]) -> None:
        self.threads.add(threading.current_thread().name)
        self.answers.append((request, masks))

    @property
    def last(self) -> list[Mask]:
        return self.answers[-1][1]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Several:
    fake = Several()
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *_args, **_kwargs: fake)
    return fake


@pytest.fixture
def engine(qtbot: Any, model: Several) -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def heard(engine: Engine) -> Heard:
    return Heard(engine)


@pytest.fixture
def subject() -> Subject:
    return Subject(open_image(PICTURE), ((0, 255),), "micro")


@pytest.fixture
def ask(engine: Engine, subject: Subject, until: Callable[..., None], heard: Heard) -> Any:
    """Ask for prompts and wait for the answer."""

    def ask(*prompts: Prompts, **options: Any) -> list[Mask]:
        request = Request(subject, prompts, PLANE, (), **{"mode": "hq+sam", **options})
        engine.request(request)
        until(lambda: not engine.busy and any(r is request for r, _ in heard.answers))
        return heard.last

    return ask


def box(k: int, **more: Any) -> Prompts:
    return Prompts(box=BOXES[k], **more)


# Answers


def test_an_answer_comes_on_the_main_thread_from_one_that_stays(ask: Any, heard: Heard) -> None:
    before = {t.ident for t in threading.enumerate()}
    ask(box(0))
    (thread,) = (t for t in threading.enumerate() if t.ident not in before)
    for k in (1, 2, 0):
        (mask,) = ask(box(k), threshold=0.1 * k)
        assert mask.area > 1000
    assert heard.threads == {threading.main_thread().name}
    assert {t.ident for t in threading.enumerate()} == before | {thread.ident}


def test_sam_comes_first_where_hq_takes_long(ask: Any, heard: Heard, model: Several) -> None:
    model.hq_seconds = 0.1
    ask(box(0))  # that it takes long is known afterwards
    assert len(heard.answers) == 1
    (mask,) = ask(box(1))
    early, last = (masks for _, masks in heard.answers[1:])
    assert early[0].low_res_hq is None
    assert last == [mask]
    assert mask.low_res_hq is not None
    # exact SAM has no second mask, and what cuts is cut out of the one before
    ask(box(0), mode="sam")
    ask(box(1, points=[(170, 180)], labels=[0]), previous=(mask,))
    assert len(heard.answers) == 5
    model.hq_seconds = 0.0
    ask(box(2))
    ask(Prompts(box=(25, 25, 110, 110)))
    assert len(heard.answers) == 8  # early once more


def test_fifty_rapid_clicks_end_with_the_last(
    engine: Engine, heard: Heard, model: Several, subject: Subject, until: Callable[..., None]
) -> None:
    model.seconds = 0.2
    requests = []
    for k in range(50):
        prompts = Prompts(points=[(70, 70)], negative_scribble=[(20 + k, 60), (20 + k, 80)])
        requests.append(Request(subject, (prompts,), PLANE, (), "hq+sam"))
        engine.request(requests[-1])
        if k % 10 == 0:
            time.sleep(0.01)
    until(lambda: not engine.busy and bool(heard.answers))
    assert heard.answers[-1][0] is requests[-1]
    assert [r for r, _ in heard.answers] == requests[-1:]
    assert heard.last[0].bbox[0] >= 69  # cut above the last stroke
    assert model.decoded <= 4


def test_an_answer_that_is_out_of_date_is_not_told(
    engine: Engine, heard: Heard, model: Several, subject: Subject, qtbot: Any
) -> None:
    model.seconds = 0.3
    engine.request(Request(subject, (box(0),), PLANE, (), "hq+sam"))
    qtbot.waitUntil(lambda: model.encoded == 1, timeout=20_000)
    engine.cancel()
    qtbot.waitUntil(lambda: not engine.busy, timeout=20_000)
    qtbot.wait(50)
    assert heard.answers == []


# What is not computed again


def test_one_request_is_decoded_once(ask: Any, model: Several, heard: Heard) -> None:
    ask(box(0), box(1))
    assert (model.encoded, model.decoded) == (1, 1)
    assert len(heard.answers) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "hq"},
        {"threshold": 0.1},
        {"threshold": -0.2, "mode": "hq"},
        {"fill_holes": True},
        {"min_size": 30},
        {"keep_to_box": True},
    ],
    ids=lambda change: "+".join(change),
)
def test_live_changes_decode_nothing(ask: Any, model: Several, change: dict) -> None:
    (before,) = ask(box(0))
    model.encoded = model.decoded = 0
    (after,) = ask(box(0), **change)
    assert (model.encoded, model.decoded) == (0, 0)
    assert after.window == before.window
    if "threshold" in change:
        assert (after.area < before.area) == (change["threshold"] > 0)


def test_exact_sam_is_decoded_but_nothing_is_encoded(ask: Any, model: Several) -> None:
    ask(box(0))
    model.encoded = model.decoded = 0
    ask(box(0), mode="sam")
    assert (model.encoded, model.decoded) == (0, 1)
    ask(box(0), mode="sam", threshold=0.1)
    assert (model.encoded, model.decoded) == (0, 1)


def test_masks_are_polished_as_asked(
    ask: Any, model: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = model.decode

    def with_hole(*given: Any, **options: Any) -> Decoded:
        found = decode(*given, **options)
        hole = found.sam.clone()
        hole[..., 17:20, 17:20] = -9
        return Decoded(hole, hole[:, :1], found.iou)

    monkeypatch.setattr(model, "decode", with_hole)
    (raw,) = ask(box(0))
    (filled,) = ask(box(0), fill_holes=True)
    assert filled.area > raw.area
    (gone,) = ask(box(0), min_size=10**6)
    assert gone.area == 0
    (again,) = ask(box(0))
    np.testing.assert_array_equal(again.data, raw.data)


def test_another_box_leaves_those_before_as_they_are(ask: Any, model: Several) -> None:
    first = ask(box(0), box(1))
    model.decoded = 0
    both = ask(box(0), box(1), box(2))
    assert model.decoded == 1
    assert both[0] is first[0]
    assert both[1] is first[1]


def test_undo_of_a_click_gives_the_very_mask_back(ask: Any, model: Several) -> None:
    (first,) = ask(box(0))
    cut = Prompts(points=[(50, 70)], labels=[0], box=BOXES[0])
    (second,) = ask(cut, previous=(first,))
    assert second.area < first.area
    model.decoded = 0
    assert ask(box(0)) == [first]
    assert ask(cut, previous=(first,)) == [second]
    assert model.decoded == 0


def test_what_is_remembered_is_of_that_plane(
    engine: Engine, heard: Heard, until: Callable[..., None], model: Several
) -> None:
    stack = np.stack([PICTURE, np.zeros_like(PICTURE)])
    subject = Subject(open_image(stack, axes="zyx"), ((0, 255),), "micro")
    areas = []
    for z in (0, 1, 0):
        plane = ArrayPlane((1, 2), (z,))
        request = Request(subject, (box(0),), plane, (z,), "hq+sam")
        engine.request(request)
        until(lambda r=request: any(a is r for a, _ in heard.answers))
        areas.append(heard.last[0].area)
    assert areas[0] == areas[2] > areas[1] == 0
    assert model.encoded == 2


def test_another_subject_is_not_answered_from_memory(
    ask: Any, engine: Engine, heard: Heard, until: Callable[..., None], model: Several
) -> None:
    (before,) = ask(box(0))
    dark = Subject(open_image(PICTURE // 2), ((0, 255),), "micro")
    engine.request(Request(dark, (box(0),), PLANE, (), "hq+sam"))
    until(lambda: not engine.busy and len(heard.answers) == 2)
    assert heard.last[0].area < before.area
    assert model.encoded == 2


# Candidates


def test_candidates_of_one_object_can_be_flipped_through(
    ask: Any, heard: Heard, model: Several, until: Callable[..., None]
) -> None:
    (shown,) = ask(box(0), multimask=True)
    until(lambda: len(heard.candidates) == 1)
    masks = heard.candidates[0][1]
    assert [m.score for m in masks] == pytest.approx([0.5, 0.9, 0.7, 0.6])
    np.testing.assert_array_equal(masks[0].data, shown.data)
    assert masks[2].area < masks[1].area < masks[3].area < masks[0].area
    model.encoded = 0
    for k, mask in enumerate(masks):
        (chosen,) = ask(box(0), candidate=k, multimask=True)
        np.testing.assert_array_equal(chosen.full(PICTURE.shape), mask.full(PICTURE.shape))
        assert chosen.score == mask.score
    (narrower,) = ask(box(0), candidate=2, threshold=0.1)
    assert narrower.area < masks[2].area
    assert model.encoded == 0


def test_of_the_hq_token_there_is_one_mask(
    ask: Any, heard: Heard, until: Callable[..., None]
) -> None:
    (shown,) = ask(box(0), mode="hq", multimask=True, candidate=3)
    until(lambda: len(heard.candidates) == 1)
    assert len(heard.candidates[0][1]) == 1
    np.testing.assert_array_equal(heard.candidates[0][1][0].data, shown.data)


def test_candidates_are_offered_for_one_object_only(ask: Any, heard: Heard, qtbot: Any) -> None:
    ask(box(0), box(1), multimask=True)
    ask(box(0))
    qtbot.wait(50)
    assert heard.candidates == []


# Finer boundaries


THIN = (255 * ((abs(Y - X) < 8) & (Y > 10) & (Y < 230))).astype(np.uint8)


def test_a_newer_request_does_not_wait_for_finer_windows(
    engine: Engine,
    heard: Heard,
    model: Several,
    subject: Subject,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model.refines_parts = True
    model.input_size = 64
    decode = model.decode

    def slowly(*given: Any, **options: Any) -> Decoded:
        time.sleep(0.03)
        return decode(*given, **options)

    monkeypatch.setattr(model, "decode", slowly)
    subject = Subject(open_image(THIN), ((0, 255),), "micro")
    whole = Prompts(box=(5, 5, 235, 235))
    newer = Request(subject, (Prompts(box=(200, 5, 235, 40)),), PLANE, (), "hq+sam")  # nothing

    def on_answer(request: Request, _masks: list[Mask]) -> None:
        if request is not newer:
            model.decoded = 0
            engine.request(newer)

    engine.answered.connect(on_answer)
    engine.request(Request(subject, (whole,), PLANE, (), "hq+sam"))
    until(lambda: not engine.busy and any(r is newer for r, _ in heard.answers))
    engine.answered.disconnect(on_answer)
    interrupted = model.decoded
    assert len(heard.answers) == 2  # the finer one never came

    model.decoded = 0
    last = Request(subject, (whole,), PLANE, (), "hq+sam")
    engine.request(last)
    until(lambda: not engine.busy and len(heard.answers) == 4)
    assert model.decoded > 6  # what would have been waited for
    assert interrupted < model.decoded / 2
    assert not np.array_equal(heard.answers[2][1][0].data, heard.answers[3][1][0].data)

    model.decoded = 0
    again = Request(subject, (whole,), PLANE, (), "hq+sam")
    engine.request(again)
    until(lambda: not engine.busy and heard.answers[-1][0] is again)
    assert model.decoded == 0  # the fine boundary is known: it is the first answer
    assert heard.last[0] is heard.answers[3][1][0]


# What goes wrong


def test_an_error_is_told_and_the_thread_lives_on(
    ask: Any,
    engine: Engine,
    heard: Heard,
    model: Several,
    subject: Subject,
    until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        "napari_hqsam.plugin.engine.notification_manager.receive_error",
        lambda *error: told.append(error[0]),
    )
    decode = model.decode

    errors = [HQSAMError("the disk is full"), RuntimeError("a kernel")]

    def broken(*_given: Any, **_options: Any) -> Any:
        raise errors.pop(0)

    monkeypatch.setattr(model, "decode", broken)
    for line in ("the disk is full", "RuntimeError: a kernel"):
        engine.request(Request(subject, (box(0),), PLANE, (), "hq+sam"))
        until(lambda line=line: heard.failures[-1:] == [line])
    assert told == [RuntimeError]
    monkeypatch.setattr(model, "decode", decode)
    (mask,) = ask(box(0))
    assert mask.area > 1000


@pytest.mark.parametrize("action", ["always", "error"])
def test_a_warning_in_the_thread_does_no_harm(
    action: Any,
    engine: Engine,
    heard: Heard,
    model: Several,
    subject: Subject,
    ask: Any,
    until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        "napari_hqsam.plugin.engine.notification_manager.receive_error",
        lambda *error: told.append(error[0]),
    )
    decode = model.decode

    def warn(*given: Any, **options: Any) -> Any:
        warnings.warn("a kernel is deprecated", UserWarning, stacklevel=1)
        return decode(*given, **options)

    monkeypatch.setattr(model, "decode", warn)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        if action == "always":
            ask(box(0))
        else:  # as where somebody has made errors of warnings
            engine.request(Request(subject, (box(0),), PLANE, (), "hq+sam"))
            until(lambda: bool(heard.failures))
            assert "a kernel is deprecated" in heard.failures[0]
            assert told == [UserWarning]
    monkeypatch.setattr(model, "decode", decode)
    assert ask(box(1))[0].area > 1000


# The end


def test_closing_ends_the_thread_in_the_midst_of_work(
    engine: Engine, heard: Heard, model: Several, subject: Subject, qtbot: Any
) -> None:
    model.seconds = 0.3
    engine.request(Request(subject, (box(0),), PLANE, (), "hq+sam"))
    qtbot.waitUntil(lambda: model.encoded == 1, timeout=20_000)
    engine.close()
    assert not engine.busy
    assert not any(t.name == "predict" for t in threading.enumerate())
    engine.request(Request(subject, (box(1),), PLANE, (), "hq+sam"))
    qtbot.wait(50)
    assert heard.answers == []
    assert model.encoded == 1
    engine.close()


def test_an_engine_that_was_never_asked_has_no_thread(qtbot: Any) -> None:
    engine = Engine()
    assert not any(t.name == "predict" for t in threading.enumerate())
    engine.close()


# Glances


def test_a_glance_sees_what_a_click_would_find_without_encoding(
    ask: Any, engine: Engine, heard: Heard, model: Several, subject: Subject, until: Any
) -> None:
    click = Request(subject, (Prompts(points=[(70, 70)]),), PLANE, (), "hq+sam")
    engine.glance(click)
    until(lambda: len(heard.glances) == 1)
    assert heard.glances[0] == (click, None)  # no model is loaded for it
    (clicked,) = ask(Prompts(points=[(71, 71)]))
    encoded, answers = model.encoded, len(heard.answers)
    engine.glance(click)
    until(lambda: len(heard.glances) == 2)
    mask = heard.glances[1][1]
    assert mask is not None
    assert mask.bbox == clicked.bbox
    outside = replace(click, prompts=(Prompts(points=[(999, 5)]),))
    engine.glance(outside)
    until(lambda: len(heard.glances) == 3)
    assert heard.glances[2][1] is None
    assert (model.encoded, len(heard.answers), heard.failures) == (encoded, answers, [])


def test_a_request_comes_before_a_glance_and_drops_it(
    ask: Any, engine: Engine, heard: Heard, model: Several, subject: Subject, until: Any, qtbot: Any
) -> None:
    ask(Prompts(points=[(70, 70)]))
    click = Request(subject, (Prompts(points=[(72, 70)]),), PLANE, (), "hq+sam")
    engine.glance(click)
    engine.request(replace(click, threshold=0.1))
    until(lambda: not engine.busy and len(heard.answers) == 2)
    qtbot.wait(50)
    assert heard.glances == []
    engine.glance(click)
    engine.glance(replace(click, mode="hq"))
    engine.glance(None)
    qtbot.wait(100)
    assert heard.glances == []


# Corrections


def test_which_masks_are_corrected(subject: Subject, ask: Any) -> None:
    masks = ask(box(0), box(1))
    before = Request(subject, (box(0), box(1)), PLANE, (), "hq+sam")
    clicked = box(1, points=[(150, 150)], labels=[0])
    assert corrected(before, masks, PLANE, [box(0), clicked]) == (None, masks[1])
    assert corrected(before, masks, PLANE, [clicked]) == (masks[1],)  # the other was deleted
    assert corrected(before, masks, PLANE, [box(2), clicked, box(0)]) == (None, masks[1], None)
    assert corrected(None, [], PLANE, [clicked]) == ()
    assert corrected(before, masks, ArrayPlane((0, 1), (3,)), [clicked]) == ()
