"""Images and labels of any size: how fast they open, answer, and how little memory they take."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clicks import encode_once, measure_clicks
from napari_hqsam.benchmark.clock import Clock, seconds
from napari_hqsam.benchmark.figures import Figure, Report, median, setting_of
from napari_hqsam.benchmark.memory import PeakMemory
from napari_hqsam.benchmark.models import is_random
from napari_hqsam.benchmark.pictures import LIMITS, Place, sparse_plane, sparse_stack
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.labels.change import Change
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter

_OPEN_SECONDS = 2.0
_GIGABYTES = 1.5
_STACK = (512, 4096, 4096)
_PLACES = 6
# Side of the editable part of large labels.
_EDITABLE = 4096


def measure_large(
    model: HQSam,
    folder: Path,
    *,
    size: int = 100_000,
    rounds: int = 20,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Open, prompt and label a plane of size × size pixels and a stack.

    Parameters
    ----------
    model : HQSam
    folder : pathlib.Path
        Empty; the images and labels are made in it.
    size : int
        Side of the plane. The stack has 512 × 4096 × 4096 voxels, or less if `size` is less.
    rounds : int
        Clicks of each kind.
    tell : callable
        Takes a line on what is done now.

    Raises
    ------
    HQSAMError
        If the plane is too small for the model.
    """
    patch = 2 * model.input_size
    if size < patch:
        raise HQSAMError(f"size {size}: {model.name} needs {patch} pixels or more")
    shape = (min(_STACK[0], size), min(_STACK[1], size), min(_STACK[2], size))
    tell("making the images")
    plane, stack = folder / "plane.zarr", folder / "stack.zarr"
    places = sparse_plane(plane, size, patch, _PLACES)
    xy, xz = sparse_stack(stack, shape, patch // 2, _PLACES)

    setting = setting_of(model)
    setting |= {"plane": f"{size} x {size}, uint16", "stack": " x ".join(map(str, shape))}
    report = Report("large", setting)
    alone = _model_alone(model)
    setting["GB of the model at work"] = round(alone / 1e9, 2)

    def section(name: str, figures: Callable[[], Iterator[Figure]]) -> None:
        tell(name)
        gc.collect()
        with PeakMemory() as memory:
            report.figures.extend(figures())
        above = (memory.peak - alone) / 1e9
        report.figures.append(Figure(f"{name}: memory above the model's", above, "GB", _GIGABYTES))

    prompting = partial(_prompting, model, rounds=rounds)
    section("plane", lambda: prompting("plane", plane, places))
    section("stack xy", lambda: prompting("stack xy", stack, xy))
    section("stack xz", lambda: prompting("stack xz", stack, xz, ("z", "x")))
    for name, extent, objects in (("plane", (size, size), places), ("stack", shape, xy)):
        labelling = partial(_labelling, f"labels of the {name}", folder / f"{name}-labels.zarr")
        section(f"labels of the {name}", partial(labelling, extent, objects))
    return report


def _model_alone(model: HQSam) -> int:
    """The most memory held while the model works on one window that is not of any image."""
    size = model.input_size
    noise = np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)
    with PeakMemory() as memory:
        encode_once(model)
        with Segmenter(noise, contrast_limits=(0, 255), model=model) as segmenter:
            box = (size // 4, size // 4, size // 2, size // 2)
            for _ in range(2):  # the first one also warms up
                segmenter.predict(box=box, fine=False)
    return memory.peak


def _prompting(
    model: HQSam,
    name: str,
    path: Path,
    places: Sequence[Place],
    displayed: tuple[str, str] | None = None,
    *,
    rounds: int,
) -> Iterator[Figure]:
    def begin(limits: Sequence[tuple[float, float]] | None = None) -> Segmenter:
        source = open_image(path)
        if limits is None:  # of the image as it lies on disk, whichever way it is cut
            limits = IntensityMapping.from_percentiles(source).limits
        turned = source if displayed is None else source.displaying(*displayed)
        return Segmenter(turned, contrast_limits=limits, model=model)

    took = seconds(lambda: begin().close())
    yield Figure(f"{name}: open", took, "s", _OPEN_SECONDS, "with a sample of its intensities")
    # those of an image that is empty but for some places tell nothing
    with begin([LIMITS]) as segmenter:
        yield from measure_clicks(segmenter, places, rounds).figures(name)
        if not is_random(model):
            yield _huge_object(segmenter, name, places[0].plane)


def _huge_object(segmenter: Segmenter, name: str, plane: tuple[int, ...]) -> Figure:
    """One object that is shrunk to be seen; even all of its window is no larger than a mask may be.

    Random weights would find it everywhere, which takes more memory than any object.
    """
    middle = np.divide(segmenter.plane_shape, 2)
    reach = np.minimum(middle, 2000) - 1
    box = (*(middle - reach).tolist(), *(middle + reach).tolist())
    took = seconds(lambda: segmenter.predict(box=box, plane=plane, fine=False))
    extent = " x ".join(str(int(2 * n)) for n in reach)
    return Figure(f"{name}: an object of {extent}", took, "s", about="its window is read, too")


def _labelling(
    name: str, path: Path, shape: tuple[int, ...], places: Sequence[Place]
) -> Iterator[Figure]:
    """Masks written, a stroke painted through an editable part, and all of it undone."""
    made = seconds(lambda: LabelStore.create(path, shape, axes="zyx"[-len(shape) :]))
    yield Figure(f"{name}: made", made, "s")
    store = LabelStore.open(path)
    clock, steps = Clock(), list[Change]()
    for number, place in enumerate(places, start=1):
        mask = _ellipse(place)
        pixels = np.full(mask.shape, number, np.uint32)
        with clock("a mask written"):
            steps.append(store.write(place.plane, *place.box[:2], pixels, mask))
    plane, (y0, x0, y1, x1) = places[0].plane, _editable(store, places[0])
    with clock("the editable part read"):
        before = store.read(plane, y0, x0, y1, x1)
        part = before.copy()
    side = min(part.shape)
    for k in range(side):  # as a brush leaves it, from corner to corner
        part[k, max(0, k - side // 50) : k + 1] = len(places) + 1
    with clock("a stroke found and written"):
        steps.append(store.write(plane, y0, x0, part, part != before))
    for step in reversed(steps):
        with clock("a step undone"):
            step.undo()
    for step_name, times in clock.times.items():
        yield Figure(f"{name}: {step_name}", 1e3 * median(times), "ms", about=f"{len(times)} times")
    left = any(store.read(p.plane, *p.box).any() for p in places)
    left = left or bool(store.read(plane, y0, x0, y1, x1).any())
    yield Figure(f"{name}: nothing is left after undo", not left, "", True)


def _ellipse(place: Place) -> NDArray[np.bool_]:
    """The object of a place, (h, w)."""
    y0, x0, y1, x1 = place.box
    y, x = np.linspace(-1, 1, y1 - y0 + 1)[:, None], np.linspace(-1, 1, x1 - x0 + 1)
    return np.asarray(y**2 + x**2 <= 1)


def _editable(store: LabelStore, place: Place) -> tuple[int, int, int, int]:
    """The part around a place that the dock would make editable."""
    shape = np.array(store.shape[-2:])
    side = np.minimum(shape, _EDITABLE)
    y0, x0 = np.clip(np.array(place.middle).astype(int) - side // 2, 0, shape - side).tolist()
    return y0, x0, y0 + int(side[0]), x0 + int(side[1])
