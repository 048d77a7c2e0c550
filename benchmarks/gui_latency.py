"""From the mouse to the mask, in a real napari window: `python benchmarks/gui_latency.py`.

A box is put into the prompts layer as the mouse leaves it there; the time runs until the preview
layer has the mask. Measured on an encoded window, and while the background encodes others; beside
it, in turn, what the network alone needs.

On a computer without a screen: ``python scripts/with_display.py python benchmarks/gui_latency.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_hqsam import weights
from napari_hqsam.benchmark.clicks import decode_once, longest_block
from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.figures import Figure, Report, median, percentile, setting_of
from napari_hqsam.benchmark.models import timing_model
from napari_hqsam.benchmark.pictures import LIMITS, Place, sparse_plane
from napari_hqsam.images import open_image
from napari_hqsam.plugin.prompt_layers import POINTS, SHAPES
from napari_hqsam.segmentation import Segmenter

TIMEOUT = 600.0
# What the dock does around a decode may take so long.
SLACK = 0.03


class Window:
    """napari with an image and the dock, used as a person does.

    Parameters
    ----------
    path : pathlib.Path
    place : Place
        What to draw a box around.
    """

    def __init__(self, path: Path, place: Place) -> None:
        self.place = place
        self.source = open_image(path)
        self.viewer = napari.Viewer()
        self.viewer.add_image(
            list(self.source.levels), multiscale=True, contrast_limits=LIMITS, name="plane"
        )
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
        self.encode_ahead(False)
        self.look(0)

    def look(self, away: float) -> None:
        """Look at the image at full resolution, so many pixels away from the place."""
        height, width = self.source.yx_shape()
        y, x = self.place.middle
        self.viewer.scene.camera.zoom = 1.0
        self.viewer.scene.camera.center = (0.0, (y + away) % height, (x + away) % width)

    def encode_ahead(self, wanted: bool) -> None:
        self.dock.controls.image.ahead.value = wanted

    @property
    def encoding(self) -> bool:
        """Whether windows in view are still to be encoded."""
        return " of " in str(self.dock.controls.image.ahead_status.value)

    @property
    def answered(self) -> bool:
        """Whether the preview shows what was found."""
        status = str(self.dock.controls.status.message.value)
        return " px" in status or status.startswith("No object")

    def time_box(self, shift: float) -> float:
        """Seconds from a box to its mask on display."""
        self.dock.annotator.clear()
        self.dock.annotator.use("box")
        y0, x0, y1, x1 = np.add(self.place.box, (-0.5, -0.5, 0.5 + shift, 0.5 + shift))
        corners = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
        return self._time(lambda: self._layer(SHAPES).add_rectangles(corners))

    def time_click(self) -> float:
        """Seconds from a click in that box to the corrected mask on display."""
        self.dock.annotator.use("positive")
        return self._time(lambda: self._layer(POINTS).add([self.place.middle]))

    def _time(self, prompt: Callable[[], object]) -> float:
        self.dock.controls.status.message.value = ""
        began = time.perf_counter()
        prompt()
        wait(lambda: self.answered)
        took = time.perf_counter() - began
        wait(lambda: not self.dock.engine.busy)  # its finer boundary
        return took

    def _layer(self, name: str) -> Any:
        return next(layer for layer in self.viewer.layers if layer.name == name)

    def close(self) -> None:
        self.dock.shut_down()
        self.viewer.close()
        self.source.close()


def wait(condition: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
    """Let the window live until a condition holds; whether it does."""
    end = time.monotonic() + timeout
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)  # the decoder wants the processor, too
        if time.monotonic() > end:
            if timeout == TIMEOUT:
                raise SystemExit("gui_latency: the dock does not answer")
            return False
    return True


def measure(window: Window, segmenter: Segmenter, rounds: int) -> Iterator[Figure]:
    """The figures; `segmenter` has the same model and image, for the network alone."""
    place, rng = window.place, np.random.default_rng(0)
    decode_once(segmenter, place)
    window.time_box(0)  # encodes the window, and its finer ones
    decodes, blocks, boxes, clicks, busy = [], [], [], [], []
    for i in range(rounds):
        blocks.append(longest_block(segmenter.model))
        decodes.append(seconds(lambda: decode_once(segmenter, place)))
        boxes.append(window.time_box(0.3 * i))  # the same box again would be remembered
        clicks.append(window.time_click())
    window.encode_ahead(True)
    for i in range(rounds):
        if not wait(lambda: window.encoding, 2):  # all in view is ready: look elsewhere
            window.look(3000 * (i + 1))
            wait(lambda: window.encoding, 10)
        wait(lambda: False, float(rng.uniform(0, 0.3)))
        took = window.time_box(0.3 * (rounds + i))
        if window.encoding:
            busy.append(took)
    window.encode_ahead(False)
    decode, block = median(decodes), median(blocks)
    for name, times, target in (
        ("box to preview, encoded window", boxes, decode + SLACK),
        ("a click that corrects it", clicks, decode + SLACK),
        ("such a box while others are encoded", busy, 2 * decode + block + SLACK),
    ):
        about = f"p95 {1e3 * percentile(times, 95):.0f} ms of {len(times)}"
        yield Figure(name, 1e3 * median(times), "ms", 1e3 * target, about)
    yield Figure("one decode", 1e3 * decode, "ms")
    yield Figure("the encoder's longest block", 1e3 * block, "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="micro", help="with random weights if it is not here")
    parser.add_argument("--size", type=int, default=20_000, help="side of the image in pixels")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="folder for the figures, as JSON")
    args = parser.parse_args()
    model = timing_model(args.model)
    weights.load_model = lambda *_args, **_options: model  # for the dock, too
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_HQSAM_DATA"] = folder  # for labels and journals, too
        path = Path(folder) / "plane.zarr"
        (place,) = sparse_plane(path, args.size, 2 * model.input_size, 1)
        window = Window(path, place)
        with Segmenter(path, contrast_limits=LIMITS, model=model) as segmenter:
            setting = setting_of(model) | {"plane": f"{args.size} x {args.size}"}
            report = Report("gui", setting, list(measure(window, segmenter, args.rounds)))
        window.close()
    for name, value in report.setting.items():
        print(f"{name}: {value}")
    for figure in report.figures:
        target = "" if figure.target is None else f", target {figure.target:.0f}"
        print(f"{figure.name}: {figure.value:.0f} {figure.unit}{target}  {figure.about}")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report.to_json(), indent=1) + "\n"
        (args.out / "benchmark-gui.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
