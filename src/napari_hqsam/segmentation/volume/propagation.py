"""Objects followed along a course, from their seeds in both directions."""

from __future__ import annotations

import shutil
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.errors import HQSAMError
from napari_hqsam.segmentation.volume.blend import blended
from napari_hqsam.segmentation.volume.claims import Claims
from napari_hqsam.segmentation.volume.course import Course
from napari_hqsam.segmentation.volume.recorded import RecordedWalk
from napari_hqsam.segmentation.volume.settings import PropagateSettings
from napari_hqsam.segmentation.volume.slice_mask import SliceMask
from napari_hqsam.segmentation.volume.smoother import Smoother
from napari_hqsam.segmentation.volume.walk import Walk
from napari_hqsam.storage.work import Work

Known = Callable[[int, int], SliceMask | None]

# Masks that overlap as much are the same: from here on all is as it was.
_SAME = 0.95
# What a mask of which nothing is sure weighs beside one that is.
_LEAST = 0.05


class Propagation:
    """The masks of objects on all slices, found slice by slice.

    All objects go forward together, then backward; a slice is seen once in each direction. What
    lies between two seeds of an object is found from both of them, and averaged: the nearer and
    the surer one counts for more.

    Parameters
    ----------
    features : Features
        Of the image.
    level : int
        Pyramid level worked on.
    course : Course
    seeds : mapping
        By label, the masks that the user vouches for, at least one of each object.
    settings : PropagateSettings
    known : callable, optional
        What an earlier run made of a label at a position, or None: where a walk comes back to
        that it ends, and what is as known is not told again.
    work : Work, optional
        Keeps the steps, so that another Propagation of the same goes on after the last of them.

    Attributes
    ----------
    total, done : int
        Steps at most, and those done.
    ended : dict
        First and last position with a mask, by label.

    Raises
    ------
    HQSAMError
        If there is no seed, or one is empty or lies outside.
    """

    def __init__(
        self,
        features: Features,
        level: int,
        course: Course,
        seeds: Mapping[int, Sequence[SliceMask]],
        settings: PropagateSettings,
        known: Known | None = None,
        work: Work | None = None,
    ) -> None:
        if settings.spacing is None:
            settings = replace(settings, spacing=course.spacing(features.source, level))
        self.course, self.settings = course, settings
        self._seeds = check_seeds(seeds, course)
        self._known = known or (lambda label, position: None)
        self._here: dict[int, list[SliceMask]] = defaultdict(list)
        for several in self._seeds.values():
            for seed in several:
                self._here[seed.position].append(seed)
        shape = features.source.yx_shape(level)
        if any(len(several) > 1 for several in self._seeds.values()):
            features = self._keeping(features)
        about = (features, level, shape, course, settings)
        self._forward, self._backward = (
            Walk(*about) if work is None else RecordedWalk(work, name, *about)
            for name in ("forward", "backward")
        )
        self._backward.seen = self._forward.seen  # both set out from there
        self._claims = Claims(seed for several in self._seeds.values() for seed in several)
        self._limits = {label: self._limits_of(several) for label, several in self._seeds.items()}
        self._low, self._high = min(self._here), max(self._here)
        self._first = min(limits[0] for limits in self._limits.values())
        self._last = max(limits[1] for limits in self._limits.values())
        self._between: dict[str, dict[tuple[int, int], SliceMask]] = {
            "forward": {},
            "backward": {},
        }
        self._as_known: set[tuple[str, int, int]] = set()
        self.total = self._last - self._low + self._high - self._first
        self.done = 0

    @property
    def ended(self) -> dict[int, tuple[int, int]]:
        """First and last position with a mask, by label."""
        return self._claims.ends()

    def __iter__(self) -> Iterator[list[SliceMask]]:
        yield from self._go(self._forward, "forward", range(self._low, self._last + 1))
        yield from self._go(self._backward, "backward", range(self._high, self._first - 1, -1))

    def _go(self, walk: Walk, name: str, positions: range) -> Iterator[list[SliceMask]]:
        """One direction: what is found, step by step."""
        smoother = Smoother(self.settings.smooth)
        for position in positions:
            seeds = self._here.get(position, [])
            told: list[SliceMask] = []
            if position != positions.start:
                found = walk.step(position, seeds) if walk.going else []
                for mask in self._new(walk, name, found, position):
                    if self._is_between(mask):
                        self._between[name][mask.label, mask.position] = mask
                    else:
                        told += smoother.push(mask)
                self.done += 1
            for seed in seeds:
                after = self._after(seed)
                if name == "backward" and after is not None:
                    for mask in self._met(seed, after):
                        told += smoother.push(mask)
                if name == "backward" or after is None:
                    smoother.push(seed)
            walk.begin(s for s in seeds if self._limits[s.label][name == "forward"] != position)
            if position == positions[-1]:
                told += smoother.flush()
            if position != positions.start or told:
                yield self._claims.claim(told)

    def _keeping(self, features: Features) -> Features:
        """Features that are encoded once, although slices between seeds are seen twice."""
        if features.store is not None:
            return features
        folder = Path(mkdtemp(prefix="napari-hqsam-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        about = (features.source, features.mapping, features.model)
        store = EmbeddingStore.open(folder / "embeddings", *about)
        found = Features(features.model, features.source, features.mapping, store)
        found.gate = features.gate
        return found

    def _new(
        self, walk: Walk, name: str, found: Sequence[SliceMask], position: int
    ) -> list[SliceMask]:
        """What a step found that was not known; what has come back to that, or far enough, ends."""
        fresh = []
        for mask in found:
            known = self._known(mask.label, mask.position)
            if mask.position == position and known is not None and mask.iou(known) >= _SAME:
                walk.tracks.pop(mask.label, None)
                self._rejoin(mask, name)
            else:
                fresh.append(mask)
        for label in [n for n in walk.tracks if self._limits[n][name == "forward"] == position]:
            del walk.tracks[label]
        return fresh

    def _rejoin(self, mask: SliceMask, name: str) -> None:
        """From here to the next seed all is as known."""
        step = 1 if name == "forward" else -1
        stops = {seed.position for seed in self._seeds[mask.label]}
        position = mask.position
        while self._is_between(mask) and position not in stops:
            known = self._known(mask.label, position)
            if known is not None:
                self._between[name][mask.label, position] = known
                self._as_known.add((name, mask.label, position))
            position += step

    def _met(self, low: SliceMask, high: SliceMask) -> Iterator[SliceMask]:
        """The masks between two seeds of an object, from the higher down; both ways were gone."""
        for position in range(high.position - 1, low.position, -1):
            at = low.label, position
            up, down = (self._between[name].pop(at, None) for name in ("forward", "backward"))
            if all((name, *at) in self._as_known for name in ("forward", "backward")):
                continue
            share = (position - low.position) / (high.position - low.position)
            both = [(m, w) for m, w in ((up, 1 - share), (down, share)) if m is not None]
            weighted = [(m, w * max(m.score or 0, _LEAST)) for m, w in both]
            if not weighted:
                continue
            total = sum(w for _, w in weighted)
            score = sum((m.score or 0) * w for m, w in weighted) / total
            if up is not None and down is not None:  # the less, the more the two differ
                score *= (1 + up.iou(down)) / 2
            mask = blended(weighted, position, score)
            if mask is not None:
                yield mask

    def _is_between(self, mask: SliceMask) -> bool:
        several = self._seeds[mask.label]
        return several[0].position < mask.position < several[-1].position

    def _after(self, seed: SliceMask) -> SliceMask | None:
        """The next seed of the object."""
        several = self._seeds[seed.label]
        i = several.index(seed) + 1
        return several[i] if i < len(several) else None

    def _limits_of(self, seeds: Sequence[SliceMask]) -> tuple[int, int]:
        """First and last position that an object may be followed to."""
        s, length = self.settings, self.course.length
        low, high = seeds[0].position, seeds[-1].position
        first = low if s.direction == "forward" else max(s.start or 0, 0)
        last = high if s.direction == "backward" else (length if s.stop is None else s.stop) - 1
        return min(first, low), max(min(last, length - 1), high)


def check_seeds(
    seeds: Mapping[int, Sequence[SliceMask]], course: Course
) -> dict[int, list[SliceMask]]:
    """Seeds in the order of their positions.

    Raises
    ------
    HQSAMError
        If there is none, or one is empty, lies outside, or is not the only one of its slice.
    """
    if not any(len(several) for several in seeds.values()):
        raise HQSAMError("there is nothing to propagate: give an object with a mask on a slice")
    out = {}
    for label, several in seeds.items():
        if not several:
            raise HQSAMError(f"object {label} has no mask on any slice along {course.axis}")
        for seed in several:
            where = f"object {label}, {course.axis} = {seed.position}"
            if not 0 <= seed.position < course.length:
                raise HQSAMError(f"{where}: there are only slices 0 to {course.length - 1}")
            if not seed.data.any():
                raise HQSAMError(f"{where}: the mask is empty; give one with pixels there")
        out[label] = sorted((s.scored(None) for s in several), key=lambda s: s.position)
        positions = [s.position for s in out[label]]
        if len(set(positions)) < len(positions):
            raise HQSAMError(f"object {label} has two masks on one slice; give one of them")
    return out
