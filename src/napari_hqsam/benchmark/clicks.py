"""How long a click takes, beside what of it the network alone needs."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise, repeat

import torch

from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.figures import Figure, median, percentile
from napari_hqsam.benchmark.models import is_random
from napari_hqsam.benchmark.pictures import Place
from napari_hqsam.embedding import View
from napari_hqsam.modeling import HQSam, TileFeatures
from napari_hqsam.segmentation import Prompts, Segmenter
from napari_hqsam.segmentation.prompts import to_batch

_FIRST_SECONDS = 0.5
_AGAIN_SECONDS = 0.03
# A click comes at any moment of an encode, and not while the last one's window is still warm.
_PAUSE_SECONDS = 0.2
# So far from a place, in windows, something is encoded while it is clicked on.
_VIEW_SIDE = 8


def encode_once(model: HQSam, image: torch.Tensor | None = None) -> TileFeatures:
    """Encode an image (1, 3, S, S), by default a blank one; a GPU is waited for."""
    if image is None:
        image = torch.zeros(1, 3, model.input_size, model.input_size, device=model.device)
    with torch.inference_mode():
        features = model.encode(image)
        finish(features)
    return features


def decode_once(segmenter: Segmenter, place: Place) -> None:
    """Decode the box of a place: what the network alone does for it; a GPU is waited for."""
    prompts = Prompts(box=place.box)
    window = segmenter.choose_window(prompts, place.plane)
    model, features = segmenter.model, segmenter.features.get(window)
    batch = to_batch([prompts], window, [None], model.device)
    only = torch.zeros(1, dtype=torch.long, device=model.device)
    with torch.inference_mode():
        model.decode(features, only, batch).sam.flatten()[0].item()


def finish(features: TileFeatures) -> None:
    """Wait for the GPU that computes `features`."""
    features.embedding.flatten()[0].item()


def longest_block(model: HQSam) -> float:
    """Seconds of the encoder's longest stretch between two places where it gives way."""
    times: list[float] = []
    image = torch.zeros(1, 3, model.input_size, model.input_size, device=model.device)
    with torch.inference_mode():
        model.encode(image, lambda: times.append(time.perf_counter()))
    return max((after - before for before, after in pairwise(times)), default=0.0)


@dataclass
class Clicks:
    """Times of clicks on one image, and of the network in turn with them; in seconds.

    Attributes
    ----------
    encodes, boxes, points : list of float
        One encode; a box and a click where nothing is encoded yet.
    windows : list of int
        How many windows each of those boxes and clicks had encoded.
    decodes, agains : list of float
        One decode; a prompt in an encoded window.
    blocks, meanwhile : list of float
        The encoder's longest block; a prompt in an encoded window while others are encoded.
    finer : list of float
        The same prompt with its boundary looked at again, as the dock does afterwards.
    """

    encodes: list[float] = field(default_factory=list)
    boxes: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)
    decodes: list[float] = field(default_factory=list)
    agains: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)
    finer: list[float] = field(default_factory=list)

    def figures(self, where: str) -> Iterator[Figure]:
        """The figures of the image called `where`."""
        encode, decode, block = median(self.encodes), median(self.decodes), median(self.blocks)
        for what, times in (("box", self.boxes), ("click", self.points)):
            if times:
                yield Figure(
                    f"{where}: first {what} on a cold place",
                    median(times),
                    "s",
                    encode + _FIRST_SECONDS,
                    f"target: one encode, {encode:.2f} s, + 0.5 s; {len(times)} places, "
                    f"{max(self.windows)} window(s) at most",
                )
        yield Figure(
            f"{where}: box on an encoded window",
            1e3 * median(self.agains),
            "ms",
            1e3 * (decode + _AGAIN_SECONDS),
            f"target: one decode, {1e3 * decode:.0f} ms, + 30 ms; p95 "
            f"{1e3 * percentile(self.agains, 95):.0f} ms of {len(self.agains)}",
        )
        yield Figure(
            f"{where}: the same while others are encoded",
            1e3 * median(self.meanwhile),
            "ms",
            1e3 * (2 * decode + block + _AGAIN_SECONDS),
            f"target: two decodes + the longest block, {1e3 * block:.0f} ms, + 30 ms; p95 "
            f"{1e3 * percentile(self.meanwhile, 95):.0f} ms of {len(self.meanwhile)}",
        )
        if self.finer:
            yield Figure(
                f"{where}: box and finer boundary",
                1e3 * median(self.finer),
                "ms",
                about="shown after the first mask",
            )


def measure_clicks(segmenter: Segmenter, places: Sequence[Place], rounds: int) -> Clicks:
    """Prompt places of an image: first cold ones, then one of them again and again.

    Every other cold place gets a click instead of a box, but not by random weights: what they find
    is no object, and they would look again in other windows.

    Parameters
    ----------
    segmenter : Segmenter
        Fresh: nothing is encoded.
    places : sequence of Place
        Far from each other.
    rounds : int
        How often the encoded one is prompted, idle and while others are encoded.
    """
    times, model = Clicks(), segmenter.model
    clicks = not is_random(model)
    for i, place in enumerate(places):
        prompts = Prompts(points=[place.middle]) if clicks and i % 2 else Prompts(box=place.box)
        times.encodes.append(seconds(lambda: encode_once(model)))
        before = len(segmenter.features.cache)
        took = seconds(partial(_predict, segmenter, prompts, place.plane))
        times.windows.append(len(segmenter.features.cache) - before)
        (times.points if prompts.box is None else times.boxes).append(took)
    known = places[0]
    for _ in range(rounds):
        times.blocks.append(longest_block(model))
        times.decodes.append(seconds(lambda: decode_once(segmenter, known)))
        times.agains.append(seconds(lambda: _prompt(segmenter, known)))
        if model.refines_parts:
            _prompt(segmenter, known, fine=True)  # its fine windows are encoded once
            times.finer.append(seconds(lambda: _prompt(segmenter, known, fine=True)))
    times.meanwhile.extend(_meanwhile(segmenter, places, known, rounds))
    return times


def _meanwhile(
    segmenter: Segmenter, places: Sequence[Place], known: Place, rounds: int
) -> Iterator[float]:
    """Seconds of prompts at `known` while the background encodes what lies around the others."""
    rng = random.Random(0)
    views = chain((_view(segmenter, place) for place in places), repeat(None))
    queue = segmenter.encoding
    measured = 0
    try:
        while measured < rounds:
            done, total = queue.progress
            if done == total:
                view = next(views)
                if view is None:  # all of a small image is encoded
                    return
                segmenter.watch(view)
                continue
            time.sleep(rng.uniform(0, _PAUSE_SECONDS))
            before, took = queue.progress, seconds(lambda: _prompt(segmenter, known))
            if before[0] < before[1]:  # the background was at work when the prompt came
                measured += 1
                yield took
    finally:
        segmenter.watch(None)


def _view(segmenter: Segmenter, place: Place) -> View:
    """Much of the plane, its middle at a place, as seen at full resolution."""
    reach = segmenter.model.input_size * _VIEW_SIDE / 2
    (y, x), (height, width) = place.middle, segmenter.plane_shape
    box = (max(0.0, y - reach), max(0.0, x - reach), min(y + reach, height), min(x + reach, width))
    return View(place.plane, box)


def _prompt(segmenter: Segmenter, place: Place, *, fine: bool = False) -> None:
    """The dock's first answer to a box; with `fine` also its second."""
    _predict(segmenter, Prompts(box=place.box), place.plane, fine=fine)


def _predict(
    segmenter: Segmenter, prompts: Prompts, plane: tuple[int, ...], *, fine: bool = False
) -> None:
    segmenter.predict_many([prompts], plane=plane, fine=fine)
