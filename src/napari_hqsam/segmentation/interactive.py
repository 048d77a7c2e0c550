"""From prompts to masks: where to look, decode, look again closer, refine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.embedding.features import Features, Stopped
from napari_hqsam.embedding.queue import View, view_octave
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Mode, TileFeatures
from napari_hqsam.segmentation.decode import Prediction, decode, redrawn
from napari_hqsam.segmentation.fine import refine_boundary
from napari_hqsam.segmentation.mask import Mask, move_logits
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.sam_first import SamFirst
from napari_hqsam.segmentation.viewing import Viewing

Plane = tuple[int, ...]
T = TypeVar("T")

# Prompts decoded at once.
_BATCH = 32
# How often a clicked object that its window has cut off is looked at in another.
_MOST_STEPS = 2


def never() -> bool:
    """Do not stop."""
    return False


class Interactive:
    """Predicts objects on the planes of one image.

    Parameters
    ----------
    features : Features
        Of the image, by the model that decodes them.
    shape : tuple of int
        (height, width) of a plane.
    level : int
        Pyramid level worked on.

    Attributes
    ----------
    view : View or None
        What the user looks at: clicks are seen at its magnification.
    sam_first : SamFirst
        Shows SAM's mask of one object before its HQ mask is there.
    """

    def __init__(self, features: Features, shape: tuple[int, int], level: int) -> None:
        self.features, self.model = features, features.model
        self.shape, self.level = shape, level
        self.view: View | None = None
        self.sam_first = SamFirst()

    def viewing(self, plane: Plane) -> Viewing:
        """Chooses windows on a plane."""
        side = None
        if self.view is not None:
            side = self.model.input_size * 2.0 ** view_octave(self.view.zoom)
        offered = partial(self.features.offered, plane)
        return Viewing(self.shape, plane, self.level, self.model.input_size, offered, side)

    def many(
        self,
        prompts: Sequence[Prompts],
        plane: Plane,
        previous: Sequence[Mask | None],
        mode: Mode,
        draw: Callable[[Prediction], T],
    ) -> list[T]:
        """What `draw` makes of the prediction of each object, in their order.

        The predictions are not kept: of a thousand objects they would take a gigabyte.
        """
        viewing = self.viewing(plane)
        groups: dict[tuple[Window, tuple[int, bool, bool]], list[int]] = defaultdict(list)
        found: dict[int, T] = {}
        for i, (p, earlier) in enumerate(zip(prompts, previous, strict=True)):
            if earlier is None and p.bounds()[2]:
                groups[viewing.of(p), p.form()].append(i)
            else:  # a click may have to be looked at again, magnified
                found[i] = draw(self._one(p, plane, earlier, mode))
        for (window, _), members in groups.items():
            for start in range(0, len(members), _BATCH):
                part = members[start : start + _BATCH]
                predictions = self._decode(
                    window, [prompts[i] for i in part], [None] * len(part), mode
                )
                found.update((i, draw(p)) for i, p in zip(part, predictions, strict=True))
        return [found[i] for i in range(len(prompts))]

    def glance(self, prompts: Prompts, plane: Plane, mode: Mode) -> Prediction | None:
        """The prediction in windows that are at hand; None if nothing is without encoding."""
        prompts.check_inside(self.shape)
        if self.viewing(plane).of(prompts) not in self.features:
            return None
        return self._one(prompts, plane, None, mode, lambda window: window in self.features)

    def redraw(self, mask: Mask, mode: Mode, threshold: float) -> Mask:
        """A mask that was predicted, with another mode or threshold, in the same window."""
        assert mask.prompts is not None
        if (mask.low_res_hq is None) == (mode == "sam"):
            fits_box = self.model.trusts_boxes
            new = redrawn(mask, mode, threshold, fits_box=fits_box)
        else:
            prediction = self._again(mask, mode)
            choice = [prediction.mask(mode, threshold), *prediction.candidates(mode, threshold)]
            new = min(choice, key=lambda m: float(abs(m.low_res_sam - mask.low_res_sam).sum()))
            new = replace(new, cuts=mask.cuts)
        return new if new.cuts is None else new.within(self.redraw(new.cuts, mode, threshold))

    def candidates(self, mask: Mask, mode: Mode, threshold: float) -> list[Mask]:
        """SAM's single mask, then its three candidates, for the prompts and window of a mask."""
        prediction = self._again(mask, mode)
        several = [] if mode == "hq" else prediction.candidates(mode, threshold)
        found = [prediction.mask(mode, threshold), *several]
        if mask.cuts is None:
            return found
        allowed = self.redraw(mask.cuts, mode, threshold)
        return [replace(each.within(allowed), cuts=mask.cuts) for each in found]

    def finish(
        self, mask: Mask, previous: Mask | None, mode: Mode, threshold: float, fine: bool | None
    ) -> Mask:
        """What is done with a mask once its prompts are decoded."""
        assert mask.prompts is not None
        if previous is not None and mask.prompts.only_cuts(previous.prompts):
            mask = replace(mask.within(previous), cuts=previous)
        wanted = self.model.refines_parts if fine is None else fine
        return self.finer(mask, mode, threshold) if wanted else mask

    def finer(
        self, mask: Mask, mode: Mode, threshold: float, stop: Callable[[], bool] = never
    ) -> Mask:
        """A mask with the boundary that finer windows show; raises Stopped between two of them."""

        def features(window: Window) -> TileFeatures:
            if stop():
                raise Stopped
            return self.features.get(window)

        found = refine_boundary(mask, mode, self.shape, self.model, features, threshold)
        return found if mask.cuts is None else found.within(mask.cuts)

    def _one(
        self,
        prompts: Prompts,
        plane: Plane,
        previous: Mask | None,
        mode: Mode,
        allowed: Callable[[Window], bool] = lambda window: True,
    ) -> Prediction:
        viewing = self.viewing(plane)
        window = viewing.of(prompts, previous)
        kept = previous is not None and previous.window == window
        # SAM's own logits, as it learnt to be given: their sum with HQ's is twice as steep.
        earlier = previous.low_res_sam if kept and previous is not None else None
        found = self._decode(window, [prompts], [earlier], mode)[0]
        if kept or prompts.bounds()[2]:
            return found
        mask = found.mask(mode)
        better = viewing.better(prompts, mask, closer=True)
        for _ in range(_MOST_STEPS):
            if better is None or not allowed(better):
                break
            # With the first mask as a prompt the second is better; without, it often is worse.
            known = torch.from_numpy(mask.low_res_sam)
            logits = move_logits(known, mask.window, better).numpy()
            found = self._decode(better, [prompts], [logits], mode)[0]
            mask = found.mask(mode)
            better = viewing.better(prompts, mask, closer=False)
        return found

    def _again(self, mask: Mask, mode: Mode) -> Prediction:
        """What made `mask`, once more: decoded only, unless its window has been dropped."""
        assert mask.prompts is not None
        return self._decode(mask.window, [mask.prompts], [mask.given], mode)[0]

    def _decode(
        self,
        window: Window,
        prompts: Sequence[Prompts],
        previous: Sequence[NDArray[np.float32] | None],
        mode: Mode,
    ) -> list[Prediction]:
        features: Any = self.features.get(window)
        with self.features.gate.urgent():
            look = partial(decode, self.model, features, window, prompts, previous)
            if mode != "hq+sam" or len(prompts) > 1 or self.sam_first.show is None:
                return look(hq=mode != "sam")
            with self.sam_first.decoding() as first:
                return look(first=first)
