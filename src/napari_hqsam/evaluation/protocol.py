"""What is measured: each true object is prompted, and the answer compared with the truth."""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_hqsam.embedding import FeatureCache
from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.baseline import baselines
from napari_hqsam.evaluation.data import LabelledImage
from napari_hqsam.evaluation.detection import Cutout, Located, cutouts
from napari_hqsam.evaluation.metrics import Band, mask_iou
from napari_hqsam.evaluation.prompting import (
    PromptKind,
    correction_click,
    negative_click,
    on_one_grid,
    prompt_kind,
)
from napari_hqsam.evaluation.scores import MOST_CLICKS, Answer, Scores, score_trials
from napari_hqsam.evaluation.strokes import is_thin
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, Mode, TileFeatures
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.segmentation import Mask, Prompts, Segmenter

DEFAULT_BANDS = (Band(2, "px"), Band(0.02, "ratio"), Band(0.01, "ratio"))
# Correction ends here: the higher of the two marks that clicks are counted to.
_GOOD_ENOUGH = 0.9


def evaluate(
    model: HQSam,
    images: Iterable[LabelledImage],
    *,
    prompts: Sequence[str] = ("box",),
    modes: Sequence[Mode] | None = None,
    bands: Sequence[Band] = DEFAULT_BANDS,
    objects_per_image: int | None = 50,
    smallest: int = 16,
    thin: Literal["auto", "always", "never"] = "auto",
    pixel_size: float | None = None,
    seed: int = 0,
) -> Iterator[Scores]:
    """Prompt the objects of images and compare the answers with the truth.

    Parameters
    ----------
    model : HQSam
    images : iterable of LabelledImage
    prompts : sequence of str
        Names of ways to prompt, see `prompt_kind`.
    modes : sequence of str, optional
        All that the model has by default.
    bands : sequence of Band
        Of the boundary IoU.
    objects_per_image : int, optional
        At most so many objects of an image are drawn, at random; None for all.
    smallest : int
        Objects of fewer pixels are left out.
    thin : {"auto", "always", "never"}
        Which objects get the figures of thin structures; by default those that `is_thin` finds.
    pixel_size : float, optional
        Micrometres per pixel, for bands in µm and images that do not have a `pixel_size`.
    seed : int
        Of the draws. An object's prompts do not depend on which others are drawn.

    Yields
    ------
    Scores
        Image by image; for each way to prompt and each object every method: where the prompt is
        a box, two baselines that need no model; then the modes.

    Raises
    ------
    HQSAMError
        If a name or a mode is unknown, or a band needs a pixel size that is not known.
    """
    kinds = [prompt_kind(name) for name in prompts]
    chosen = list(modes or model_modes(model))
    for mode in chosen:
        check_mode(mode, has_hq=model.has_hq)
    if thin not in ("auto", "always", "never"):
        raise HQSAMError(f"thin {thin!r}: choose auto, always or never")
    for item in images:
        micrometres = getattr(item, "pixel_size", None) or pixel_size
        widths = {b.name: b.width(item.labels.shape, micrometres) for b in bands}
        objects = draw_objects(item, objects_per_image, smallest, seed)
        if not objects:
            continue
        counts_as_thin = {
            label: thin == "always" or (thin == "auto" and is_thin(truth.data))
            for label, truth in objects.items()
        }
        axes = "yx" if item.image.ndim == 2 else "yxc"
        with Segmenter(item.image, axes=axes, model=model) as segmenter:
            cache = segmenter.features.cache = _TimedCache()
            for kind in kinds:
                interview = _Interview(segmenter, cache, kind, chosen, item, seed)
                answers = interview.follow(objects) if kind.then else interview.once(objects)
                for label, truth in objects.items():
                    for method, trials in answers[label].items():
                        about = (item.name, label, kind.name, method)
                        yield score_trials(*about, truth, trials, widths, counts_as_thin[label])


def model_modes(model: HQSam) -> list[Mode]:
    """The modes of a model, SAM first."""
    return ["sam", "hq", "hq+sam"] if model.has_hq else ["sam"]


def draw_objects(
    item: LabelledImage, most: int | None, smallest: int = 1, seed: int = 0
) -> dict[int, Cutout]:
    """At most `most` objects of an image of at least `smallest` pixels, by label."""
    values = np.unique(item.labels)
    every = zip(values[values != 0].tolist(), cutouts(item.labels), strict=True)
    objects = [(label, c) for label, c in every if np.count_nonzero(c.data) >= smallest]
    if most is not None and len(objects) > most:
        chosen = _generator(seed, item.name).choice(len(objects), most, replace=False)
        objects = [objects[i] for i in sorted(chosen)]
    return dict(objects)


class _TimedCache(FeatureCache):
    """A cache that knows how long encoding took, in seconds.

    Attributes
    ----------
    spent : float
        On encoding.
    cost : float
        What the windows that were asked for since `begin` took, be it now or earlier.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spent = 0.0
        self._costs: dict[Window, float] = {}
        self.begin()

    def begin(self) -> None:
        self.cost = 0.0
        self._asked: set[Window] = set()

    def get(self, window: Window, encode: Callable[[Window], TileFeatures]) -> TileFeatures:
        def timed(w: Window) -> TileFeatures:
            began = time.perf_counter()
            features = encode(w)
            self._costs[w] = time.perf_counter() - began
            self.spent += self._costs[w]
            return features

        features = super().get(window, timed)
        if window not in self._asked:
            self._asked.add(window)
            self.cost += self._costs[window]
        return features


_Answers = dict[int, dict[str, list[Answer]]]
"""Label → method → trials."""


@dataclass
class _Interview:
    """The objects of one image, asked for in one way."""

    segmenter: Segmenter
    cache: _TimedCache
    kind: PromptKind
    modes: Sequence[Mode]
    item: LabelledImage
    seed: int
    decoding: float = 0.0  # seconds, all in all

    def __post_init__(self) -> None:
        self.cache.begin()

    def once(self, objects: dict[int, Cutout]) -> _Answers:
        """First predictions, those that share a window together."""
        out: _Answers = {label: defaultdict(list) for label in objects}
        by_window: dict[Window, list[tuple[int, Prompts]]] = defaultdict(list)
        for label, truth in objects.items():
            rng = self._generator(label)
            for _ in range(self.kind.trials):
                given = self.kind.make(truth, self.segmenter.plane_shape, rng)
                by_window[self.segmenter.choose_window(given)].append((label, given))
                if given.box is not None and not len(given.points):
                    for method, cutout in baselines(self.item.image, given.box).items():
                        out[label][method].append(Answer(cutout, given))
        for members in by_window.values():
            prompts = [given for _, given in members]
            encoding, found = self.cache.cost, []
            for mode in self.modes:
                before = self.decoding
                masks = self._predict(prompts, mode)
                found.append((mode, masks, (self.decoding - before) / len(members)))
            encode = (self.cache.cost - encoding) / len(members)
            for mode, masks, decode in found:
                for (label, given), mask in zip(members, masks, strict=True):
                    answer = Answer(mask, given, mask.score, encode, decode)
                    out[label][mode].append(answer)
        return out

    def follow(self, objects: dict[int, Cutout]) -> _Answers:
        """A first prediction, and what comes of clicks after it."""
        out: _Answers = {}
        then = self._correct if self.kind.then == "correct" else self._cut
        for label, truth in objects.items():
            encoding, answers = self.cache.cost, {}
            for mode in self.modes:
                rng, before = self._generator(label), self.decoding
                given = self.kind.make(truth, self.segmenter.plane_shape, rng)
                answer = then(truth, given, mode, rng)
                answers[mode] = answer._replace(decode_seconds=self.decoding - before)
            encode = self.cache.cost - encoding
            out[label] = {m: [a._replace(encode_seconds=encode)] for m, a in answers.items()}
        return out

    def _correct(
        self, truth: Cutout, given: Prompts, mode: Mode, rng: np.random.Generator
    ) -> Answer:
        mask = self._predict([given], mode)[0]
        ious = [_iou(truth, mask)]
        while ious[-1] < _GOOD_ENOUGH and len(ious) < MOST_CLICKS:
            click = correction_click(truth, mask, given.points)
            if click is None:
                break
            given = _with_click(given, *click)
            mask = self._predict([given], mode, mask)[0]
            ious.append(_iou(truth, mask))
        return Answer(mask, given, mask.score, iou_after=tuple(ious))

    def _cut(self, truth: Cutout, given: Prompts, mode: Mode, rng: np.random.Generator) -> Answer:
        first = self._predict([given], mode)[0]
        click = negative_click(truth, first, self.segmenter.plane_shape, rng)
        if click is None:
            return Answer(first, given, first.score)
        at, too_much = click
        given = _with_click(given, at, 0)
        mask = self._predict([given], mode, first)[0]
        cut = not _has(mask, at) if too_much else None
        return Answer(mask, given, mask.score, grew=mask.area > first.area, cut=cut)

    def _predict(
        self, prompts: Sequence[Prompts], mode: Mode, previous: Mask | None = None
    ) -> list[Mask]:
        began, encoding = time.perf_counter(), self.cache.spent
        earlier = None if previous is None else [previous]
        masks = self.segmenter.predict_many(prompts, previous=earlier, mode=mode)
        self.decoding += time.perf_counter() - began - (self.cache.spent - encoding)
        return masks

    def _generator(self, label: int) -> np.random.Generator:
        return _generator(self.seed, f"{self.item.name}/{label}/{self.kind.name}")


def _iou(truth: Located, mask: Located) -> float:
    return mask_iou(*on_one_grid(truth, mask)[:2])


def _has(mask: Mask, at: tuple[int, int]) -> bool:
    y, x = np.subtract(at, mask.bbox[:2])
    inside = 0 <= y < mask.data.shape[0] and 0 <= x < mask.data.shape[1]
    return bool(inside and mask.data[y, x])


def _with_click(given: Prompts, at: tuple[int, int], label: int) -> Prompts:
    points = np.concatenate([given.points, [at]])
    return Prompts(points, [*given.labels.tolist(), label], given.box)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(name.encode())))
