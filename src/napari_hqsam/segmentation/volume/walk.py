"""All objects of one direction, taken from slice to slice together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.embedding.features import Features
from napari_hqsam.images.windows import Window, window_around
from napari_hqsam.labels.pyramid import common, slices
from napari_hqsam.segmentation.automatic.layout import octave_for, window_of
from napari_hqsam.segmentation.refine.again import Outline
from napari_hqsam.segmentation.refine.settle import attached
from napari_hqsam.segmentation.volume.answers import BLANK, Answer, ask, contrast
from napari_hqsam.segmentation.volume.blend import blended
from napari_hqsam.segmentation.volume.course import Course
from napari_hqsam.segmentation.volume.likeness import Likeness, Look, look
from napari_hqsam.segmentation.volume.score import Evidence, Judge
from napari_hqsam.segmentation.volume.settings import PropagateSettings
from napari_hqsam.segmentation.volume.slice_mask import SliceMask

# A boundary moves by no more than this share of the radius, and may by so many pixels.
_REACH, _LEAST_REACH = 0.5, 3.0
# Slices on which an object may be missed before it has ended: a poor one, or blank ones.
_POOR, _BLANKS = 1, 3


@dataclass(eq=False)
class Track:
    """An object on its way.

    Attributes
    ----------
    mask : SliceMask
        Where it was last.
    likeness : Likeness
    contrast : float
        Of the features on its seed's slice.
    passed : list of SliceMask
        Slices since then on which it was not seen well, with what was.
    blanks : int
        How many of these were blank.
    """

    mask: SliceMask
    likeness: Likeness
    contrast: float
    passed: list[SliceMask] = field(default_factory=list)
    blanks: int = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a record of the job."""
        out = {f"mask.{k}": v for k, v in self.mask.packed().items()} | self.likeness.arrays()
        for i, mask in enumerate(self.passed):
            out |= {f"passed{i}.{k}": v for k, v in mask.packed().items()}
        return out | {"contrast": np.array(self.contrast), "blanks": np.array(self.blanks)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Track:
        """What `arrays` gave."""

        def mask(name: str) -> SliceMask:
            keys = ("about", "score", "bits")
            return SliceMask.unpacked({k: arrays[f"{name}.{k}"] for k in keys})

        count = sum(k.endswith(".about") for k in arrays) - 1
        return cls(
            mask("mask"),
            Likeness.from_arrays(arrays),
            float(arrays["contrast"]),
            [mask(f"passed{i}") for i in range(count)],
            int(arrays["blanks"]),
        )


class Walk:
    """Takes objects along a course in one direction.

    Parameters
    ----------
    features : Features
    level : int
    shape : tuple of int
        (height, width) of a plane.
    course : Course
    settings : PropagateSettings

    Attributes
    ----------
    tracks : dict
        The objects on their way, by label.
    judges : dict
        What each is measured by, by label; it outlasts the end of a track.
    seen : dict
        How seeds look, by label and position, and how much their slice varies; walks of the same
        seeds may share it.
    """

    def __init__(
        self,
        features: Features,
        level: int,
        shape: tuple[int, int],
        course: Course,
        settings: PropagateSettings,
    ) -> None:
        self.features, self.level, self.shape = features, level, shape
        self.course, self.settings = course, settings
        self.tracks: dict[int, Track] = {}
        self.judges: dict[int, Judge] = {}
        self.seen: dict[tuple[int, int], tuple[Look | None, float]] = {}

    @property
    def going(self) -> bool:
        """Whether any object is on its way."""
        return bool(self.tracks)

    def begin(self, seeds: Iterable[SliceMask]) -> None:
        """Set out from seeds; an object that is on its way goes on from its seed."""
        for seed in seeds:
            at = seed.label, seed.position
            if at not in self.seen:
                window = self._window(self._outline(seed), seed.position)
                self.features.prepare(window)
                self._see(seed, window)
            here, varied = self.seen[at]
            known = self.tracks.get(seed.label)
            likeness = Likeness() if known is None else known.likeness
            likeness.learn(here)
            self.tracks[seed.label] = Track(seed, likeness, varied)
            self.judges.setdefault(seed.label, Judge(seed.area)).compare(seed.area)

    def step(self, position: int, seeds: Sequence[SliceMask] = ()) -> list[SliceMask]:
        """Find the objects on the next slice.

        Parameters
        ----------
        position : int
            Of the slice.
        seeds : sequence of SliceMask
            Of this slice: nothing else has pixels there.

        Returns
        -------
        list of SliceMask
            Those of this slice, and such as were passed over before it, now that they are known.
            No two overlap.
        """
        going = {n: t for n, t in self.tracks.items() if n not in {s.label for s in seeds}}
        outlines = {label: self._outline(track.mask) for label, track in going.items()}
        groups: dict[Window, list[int]] = defaultdict(list)
        for label, outline in outlines.items():
            groups[self._window(outline, position)].append(label)
        begun: dict[Window, list[SliceMask]] = defaultdict(list)
        for seed in seeds:
            begun[self._window(self._outline(seed), position)].append(seed)
        wanted: dict[int, NDArray[np.float32]] = {}
        seen: dict[int, tuple[Answer, bool, Look | None]] = {}
        # each window is done with before the next: its features need not be kept
        for window in {**groups, **begun}:
            labels = groups.get(window, [])
            parts = [outlines[label] for label in labels]
            known = [going[label].likeness for label in labels]
            answers = ask(self.features, window, parts, known, self.settings.mode)
            tile = self.features.get(window)
            here = contrast(tile, window)
            for label, outline, answer in zip(labels, parts, answers, strict=True):
                near = outline.depth > -self._reach(outline)
                logits = np.where(near, answer.logits - self.settings.threshold, -np.inf)
                mask = attached(logits > 0, outline.mask)
                wanted[label] = logits
                looks = look(tile, window, Outline(mask, outline.box))
                seen[label] = answer, here < BLANK * going[label].contrast, looks
            for seed in begun.get(window, []):
                self._see(seed, window)
        masks = self._divided(outlines, wanted, seeds)
        found: list[SliceMask] = []
        for label, track in going.items():
            answer, blank, looks = seen[label]
            found += self._followed(track, outlines[label], masks[label], answer, blank, position)
            if track.mask.position == position:
                track.likeness.learn(looks)
        return found

    def _see(self, seed: SliceMask, window: Window) -> None:
        """Keep how a seed looks."""
        tile = self.features.get(window)
        looks = look(tile, window, self._outline(seed))
        self.seen[seed.label, seed.position] = looks, contrast(tile, window)

    @staticmethod
    def _divided(
        outlines: Mapping[int, Outline],
        wanted: Mapping[int, NDArray[np.float32]],
        seeds: Sequence[SliceMask],
    ) -> dict[int, NDArray[np.bool_]]:
        """The masks (h, w) on each outline's box; what two want goes to the surer one."""
        out = {}
        labels = list(wanted)
        boxes = np.array([outlines[label].box for label in labels]).reshape(-1, 4)
        for label, mine in wanted.items():
            box, rival = outlines[label].box, np.zeros(mine.shape, np.float32)
            near = (boxes[:, :2] < box[2:]).all(axis=1) & (boxes[:, 2:] > box[:2]).all(axis=1)
            for other in (labels[i] for i in np.flatnonzero(near)):
                shared = common(box, outlines[other].box)
                if other == label or shared is None:
                    continue
                theirs = wanted[other]
                here, there = slices(shared, box), slices(shared, outlines[other].box)
                # of two that are equally sure, the one with the lower number gets it
                least = theirs[there] if other < label else np.nextafter(theirs[there], -np.inf)
                rival[here] = np.maximum(rival[here], least)
            mask = mine > rival
            for seed in seeds:
                if common(box, seed.bbox) is not None:
                    mask &= ~seed.on(box)
            out[label] = attached(mask, outlines[label].mask)
        return out

    def _followed(
        self,
        track: Track,
        outline: Outline,
        mask: NDArray[np.bool_],
        answer: Answer,
        blank: bool,
        position: int,
    ) -> list[SliceMask]:
        """Take an object on, or let it end; its new masks."""
        label = track.mask.label
        score = 0.0
        if mask.any() and not blank:
            score = self.judges[label].score(Evidence.of(mask, answer))
        new = SliceMask.of(label, position, mask, outline.box, score)
        if mask.any() and not blank and score >= self.settings.min_score:
            between = _between(track.mask, new, track.passed)
            track.mask, track.passed, track.blanks = new, [], 0
            return [*between, new]
        track.passed.append(new)
        track.blanks += blank
        poor = len(track.passed) - track.blanks
        if poor > _POOR or track.blanks > _BLANKS:
            del self.tracks[label]
        return []

    def _outline(self, mask: SliceMask) -> Outline:
        """A mask with all around it that it may grow into."""
        radius = math.sqrt(mask.area / math.pi)
        margin = math.ceil(max(_REACH * radius, _LEAST_REACH) * self._pace) + 8
        y0, x0, y1, x1 = mask.bbox
        height, width = self.shape
        box = (
            max(y0 - margin, 0),
            max(x0 - margin, 0),
            min(y1 + margin, height),
            min(x1 + margin, width),
        )
        return Outline(mask.on(box), box)

    def _reach(self, outline: Outline) -> float:
        return max(_LEAST_REACH, _REACH * float(outline.depth.max())) * self._pace

    @property
    def _pace(self) -> float:
        return min(max(self.settings.spacing or 1.0, 1.0), 4.0)

    def _window(self, outline: Outline, position: int) -> Window:
        """The window that shows an object: one that others share, if it is small enough."""
        plane, size = self.course.plane(position), self.features.model.input_size
        y0, x0, y1, x1 = (round(v) for v in outline.ends)
        octave = octave_for(max(y1 - y0, x1 - x0) + 1, size)
        if octave > 0 and max(self.shape) > size:
            return window_around((y0, x0), (y1, x1), self.shape, size, plane, self.level)
        box = (y0, x0, y1 + 1, x1 + 1)
        return window_of(box, self.shape, size, plane, self.level, octave)


def _between(before: SliceMask, after: SliceMask, passed: Sequence[SliceMask]) -> list[SliceMask]:
    """Masks for the slices that were passed over, from those on both sides of them."""
    span = after.position - before.position
    out = []
    for missed in passed:
        share = (missed.position - before.position) / span
        mask = blended([(before, 1 - share), (after, share)], missed.position, missed.score)
        if mask is not None:
            out.append(mask)
    return out
