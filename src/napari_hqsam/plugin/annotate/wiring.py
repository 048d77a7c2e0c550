"""Which part of the dock listens to which, and what keys do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.plugin.annotate.widget import AnnotateWidget


def actions(dock: AnnotateWidget) -> dict[str, Callable[[], Any]]:
    """What keys do, by the names of `settings.Keys`."""
    a = dock.annotator
    return {
        "commit": a.commit,
        "clear": a.clear,
        "toggle_sign": a.toggle_sign,
        "click": partial(a.use, "positive"),
        "box": partial(a.use, "box"),
        "scribble": partial(a.use, "scribble"),
        "next_candidate": partial(a.flip, 1),
        "preview": a.toggle_preview,
        "accept": dock.objects.widget.accept_current,
        "next_object": dock.objects.widget.next_uncertain,
        "delete": dock.objects.widget.delete_current,
        "next_image": dock.pictures.widget.next_image,
        "undo": dock.undo,
        "redo": dock.redo,
    }


def connect(dock: AnnotateWidget) -> None:
    """Let the parts know of each other."""
    c, a = dock.controls, dock.annotator
    _connect_image(dock)
    c.prompts.used.connect(a.use)
    c.prompts.from_label.connect(dock.from_label)
    c.prompts.hover.connect(dock.hover.turn)
    c.masks.changed.connect(lambda: a.predict())
    c.masks.flipped.connect(a.flip)
    c.labels.commit_button.changed.connect(a.commit)
    c.labels.clear_button.changed.connect(a.clear)
    c.labels.undo_button.changed.connect(dock.undo)
    c.labels.redo_button.changed.connect(dock.redo)
    c.status.cancel_button.changed.connect(dock.cancel)
    for source in (a, dock.sessions, dock.objects, dock.labels, dock.layers, dock.recovering):
        source.failed.connect(dock.warn)
    a.drawn.made.connect(dock.on_prompt_layers)
    dock.objects.reopened.connect(lambda: dock.tabs.setCurrentIndex(0))
    dock.engine.answered.connect(a.on_answer)
    dock.engine.candidates.connect(a.on_candidates)
    dock.engine.failed.connect(dock.warn)
    dock.engine.stage.connect(c.status.show_stage)
    dock.engine.idle.connect(partial(c.status.show_busy, False))
    dock.layers.undo_pressed.connect(dock.undo)
    dock.labels.chosen.connect(dock.on_labels)
    dock.labels.let_go.connect(dock.recovering.look_again)
    dock.recovering.restored.connect(dock.labels.choose)
    dock.viewport.moved.connect(dock.on_view)
    dock.tabs.currentChanged.connect(dock.on_tab)
    # a stroke in the labels that are there is a step, which Next saves
    dock.pictures.widget.opened.connect(lambda _path: dock.begin_listing())
    dock.viewer.layers.events.removed.connect(dock.on_removed)
    dims = dock.viewer.dims.events
    for event in (dims.current_step, dims.order, dims.ndisplay):
        event.connect(dock.on_step)


def _connect_image(dock: AnnotateWidget) -> None:
    controls = dock.controls.image
    controls.image.changed.connect(dock.on_image)
    controls.model.changed.connect(lambda name: dock.controls.status.show_model(str(name)))
    for choice in (controls.green, controls.blue, controls.model, controls.store):
        choice.changed.connect(lambda: dock.annotator.predict())
        choice.changed.connect(dock.viewport.look)
    controls.contrast_button.changed.connect(dock.take_contrast)
    controls.contrast.changed.connect(dock.take_contrast)
