"""Requests → masks, without computing again what was found a moment ago."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.embedding.features import Stopped

if TYPE_CHECKING:
    from napari_hqsam.modeling import Mode
    from napari_hqsam.plugin.request import Request
    from napari_hqsam.segmentation import Mask, Prompts, Segmenter

    _Object = tuple[Hashable, Prompts, Mask | None]

# So many objects are remembered beside those of the last request: for undo, and for boxes that are
# dragged to and fro.
_REMEMBERED = 32


@dataclass(frozen=True, eq=False)
class _Found:
    """One object.

    Attributes
    ----------
    first : Mask
        SAM's single mask as it was predicted, without a look at finer windows.
    mode, threshold, candidate
        What the following are made with.
    rough : Mask
    finer : Mask or None
        With the boundary that finer windows show, once they have been looked at.
    """

    first: Mask
    mode: Mode
    threshold: float
    candidate: int
    rough: Mask
    finer: Mask | None = None

    @property
    def best(self) -> Mask:
        return self.finer or self.rough


class Predictor:
    """Answers requests with one Segmenter.

    Prompts that were answered lately are not decoded again: another mode, threshold or candidate
    is made of what is known of them, and undo gives the very masks back.

    Parameters
    ----------
    segmenter : Segmenter
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter, self._interactive = segmenter, segmenter.interactive
        self._recent: dict[Hashable, _Found] = {}  # those of late last
        self._asked: list[Hashable] = []  # the objects of the last request

    def needs_encoding(self, request: Request) -> bool:
        """Whether the image has to be encoded for the first of the prompts that are new."""
        for key, prompts, before in _objects(request):
            if key not in self._recent:
                window = self._segmenter.choose_window(prompts, request.index, before)
                return window not in self._segmenter.features
        return False

    def masks(
        self, request: Request, early: Callable[[Mask], None] = lambda mask: None
    ) -> list[Mask]:
        """One for each object, soon; with a fine boundary where that is known.

        Parameters
        ----------
        request : Request
        early : callable
            Takes SAM's mask of a single object, where the HQ mask takes noticeably longer.
        """
        objects = _objects(request)
        new = {
            key: (prompts, before) for key, prompts, before in objects if key not in self._recent
        }
        sam_first = self._interactive.sam_first
        if len(objects) == 1 and not _only_cuts(objects[0]):
            sam_first.show = lambda p: early(p.mask("sam", request.threshold))
        try:
            predicted = self._segmenter.predict_many(
                [prompts for prompts, _ in new.values()],
                plane=request.index,
                previous=[before for _, before in new.values()],
                mode=request.mode,
                threshold=request.threshold,
                fine=False,
            )
        finally:
            sam_first.show = None
        for key, mask in zip(new, predicted, strict=True):
            self._recent[key] = _Found(mask, request.mode, request.threshold, 0, mask)
        self._asked = [key for key, _, _ in objects]
        for key in self._asked:
            self._recent[key] = self._suited(self._recent.pop(key), request)
        for key in list(self._recent)[: -len(self._asked) - _REMEMBERED]:
            del self._recent[key]
        return self._best()

    def finer(self, request: Request, stop: Callable[[], bool]) -> list[Mask] | None:
        """The same with the boundaries that finer windows show; None if these show no others.

        Parameters
        ----------
        request : Request
            The one that `masks` was called with last.
        stop : callable
            Asked before each window; then None is returned, too.
        """
        if not self._segmenter.model.refines_parts:
            return None
        before = self._best()
        for key in self._asked:
            found = self._recent[key]
            if found.finer is None:
                try:
                    finer = self._interactive.finer(
                        found.rough, request.mode, request.threshold, stop
                    )
                except Stopped:
                    return None
                self._recent[key] = replace(found, finer=finer)
        after = self._best()
        same = all(np.array_equal(a.data, b.data) for a, b in zip(before, after, strict=True))
        return None if same else after

    def candidates(self, request: Request) -> list[Mask]:
        """SAM's single mask and its candidates for the one object of the last request."""
        first = self._recent[self._asked[0]].first
        return self._interactive.candidates(first, request.mode, request.threshold)

    def glance(self, request: Request) -> Mask | None:
        """The mask of one object, if nothing needs to be encoded for it."""
        (prompts,) = request.prompts
        seen = self._interactive.glance(prompts, request.index, request.mode)
        return None if seen is None else seen.mask(request.mode, request.threshold)

    def _best(self) -> list[Mask]:
        return [self._recent[key].best for key in self._asked]

    def _suited(self, found: _Found, request: Request) -> _Found:
        """The object with the mode, threshold and candidate that are asked for."""
        mode, threshold, candidate = request.mode, request.threshold, request.candidate
        if (found.mode, found.threshold, found.candidate) == (mode, threshold, candidate):
            return found
        if candidate == found.candidate:
            rough = self._interactive.redraw(found.rough, mode, threshold)
        elif candidate == 0:
            rough = self._interactive.redraw(found.first, mode, threshold)
        else:
            several = self._interactive.candidates(found.first, mode, threshold)
            candidate = min(candidate, len(several) - 1)
            rough = several[candidate]
        first = rough if candidate == 0 else found.first
        return _Found(first, mode, threshold, candidate, rough)


def _only_cuts(found: _Object) -> bool:
    """Whether the prompts cut something out of the mask before, which SAM's alone is not."""
    _, prompts, before = found
    return before is not None and prompts.only_cuts(before.prompts)


def _objects(request: Request) -> list[_Object]:
    """Of each object what it is known by, its prompts, and the mask that they correct."""
    previous = request.previous or (None,) * len(request.prompts)
    return [
        ((request.index, prompts.signature()), prompts, before)
        for prompts, before in zip(request.prompts, previous, strict=True)
    ]
