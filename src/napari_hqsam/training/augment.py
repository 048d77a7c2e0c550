"""Training samples: a window of a picture, its objects as soft masks, changed at random.

Geometry follows what the Segmenter does (`images.windows`): most samples are windows around one
object, magnified or shrunk to the model's input; others are scenes at any scale; and where a rough
mask is to be refined, windows that show a part of an object.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.evaluation.data import LabelledPlane

# Intensity of padding: SAM pads with 0 after normalisation, that is, with the mean.
_PADDING = 127.0
_MAX_MAGNIFICATION = 8.0
_FEWEST_PIXELS = 24
# Pixels of an object that a window of a part of it may be centred on.
_CENTRES = 256


class Sample(NamedTuple):
    """One window and K of its objects.

    Attributes
    ----------
    image : Tensor
        (3, S, S), intensities 0-255.
    masks : Tensor
        (K, S, S), 0 or 1.
    """

    image: Tensor
    masks: Tensor


class WindowSampler:
    """Draws samples from one labelled plane.

    Parameters
    ----------
    plane : LabelledPlane
    """

    def __init__(self, plane: LabelledPlane) -> None:
        from skimage.measure import regionprops

        self.image = plane.image
        self.labels = plane.labels
        regions = [r for r in regionprops(plane.labels) if r.area >= 9]
        self.ids = np.array([r.label for r in regions], dtype=np.int64)
        self.boxes = np.array([r.bbox for r in regions], dtype=np.float64).reshape(-1, 4)
        self.centres = [r.coords[:: max(1, len(r.coords) // _CENTRES)] for r in regions]
        # Percentiles of the whole plane, as at inference.
        if plane.image.ndim == 3 and plane.image.dtype == np.uint8:
            self.limits = None
        else:
            self.limits = tuple(np.percentile(plane.image[::2, ::2], (0.1, 99.9)).tolist())

    def draw(
        self, rng: np.random.Generator, size: int, objects: int, *, part: bool = False
    ) -> Sample | None:
        """Draw a window.

        Parameters
        ----------
        rng : Generator
        size : int
            S.
        objects : int
            K.
        part : bool
            Show a part of an object, as the windows do in which a boundary is refined.

        Returns
        -------
        Sample or None
            None if the window shows no object.
        """
        if len(self.ids) == 0:
            return None
        h, w = self.labels.shape
        if part:
            chosen = rng.integers(len(self.ids))
            y0, x0, y1, x1 = self.boxes[chosen]
            side = max(y1 - y0, x1 - x0) * np.exp(rng.uniform(np.log(0.15), np.log(1.2)))
            place = self.centres[chosen][rng.integers(len(self.centres[chosen]))]
            centre = [c + rng.uniform(-0.4, 0.4) * side for c in place]
        elif rng.random() < 0.6:
            y0, x0, y1, x1 = self.boxes[rng.integers(len(self.ids))]
            extent = max(y1 - y0, x1 - x0)
            side = extent * np.exp(rng.uniform(np.log(1.15), np.log(3.5)))
            slack = max(side - extent, 0) / 2
            centre = [(a + b) / 2 + rng.uniform(-slack, slack) for a, b in ((y0, y1), (x0, x1))]
        else:
            side = size * np.exp(rng.uniform(np.log(0.35), np.log(2.5)))
            centre = [rng.uniform(0, n) for n in (h, w)]
        side = min(side, 1.1 * max(h, w))
        if rng.random() < 0.8:  # shifted inside, as the Segmenter's windows are
            centre = [
                min(max(c, side / 2), n - side / 2) if side < n else n / 2
                for c, n in zip(centre, (h, w), strict=True)
            ]
        side = max(side, size / _MAX_MAGNIFICATION)
        return self._cut(rng, centre, side, size, objects)

    def _cut(
        self,
        rng: np.random.Generator,
        centre: list[float],
        side: float,
        size: int,
        objects: int,
    ) -> Sample | None:
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
        flip = rng.random() < 0.5
        reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle))) + 2
        h, w = self.labels.shape
        y0, x0 = (max(int(c - reach), 0) for c in centre)
        y1, x1 = min(int(centre[0] + reach) + 1, h), min(int(centre[1] + reach) + 1, w)
        labels = self.labels[y0:y1, x0:x1]
        present = np.unique(labels[:: max(1, int(side / size)), :: max(1, int(side / size))])
        present = present[present > 0]
        if len(present) == 0:
            return None
        chosen = rng.choice(present, size=min(len(present), objects), replace=False)

        image = self.image[y0:y1, x0:x1]
        stack = np.concatenate(
            [self._intensity(image), (labels[None] == chosen[:, None, None]).astype(np.float32)]
        )
        # Shrink first, with an antialiasing filter; the rotation below is then near 1:1.
        shrink = min(1.0, size / side)
        source = torch.from_numpy(stack)[None]
        if shrink < 0.95:
            target = [max(2, round(n * shrink)) for n in stack.shape[1:]]
            source = F.interpolate(source, target, mode="bilinear", antialias=True)
        sh, sw = source.shape[-2:]
        scale_y, scale_x = sh / stack.shape[1], sw / stack.shape[2]
        step = torch.linspace(-1, 1, size + 1)
        step = (step[:-1] + step[1:]) / 2 * (side / 2)
        dy, dx = torch.meshgrid(step, -step if flip else step, indexing="ij")
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        yy = (centre[0] - y0 + cos * dy + sin * dx) * scale_y
        xx = (centre[1] - x0 - sin * dy + cos * dx) * scale_x
        grid = torch.stack([2 * xx / sw - 1, 2 * yy / sh - 1], dim=-1)[None].float()
        source[:, :3] -= _PADDING
        out = F.grid_sample(source, grid, mode="bilinear", align_corners=False)[0]
        # A lower threshold keeps thin parts whole in a shrunk window.
        masks = (out[3:] > (0.5 if shrink > 0.7 else 0.35)).float()
        masks = masks[masks.sum((1, 2)) >= _FEWEST_PIXELS]
        if len(masks) == 0:
            return None
        pick = torch.arange(objects) % len(masks)
        return Sample(self._appearance(rng, out[:3] + _PADDING), masks[pick])

    def _intensity(self, image: np.ndarray) -> np.ndarray:
        if self.limits is None:
            return np.asarray(image.transpose(2, 0, 1)[:3], dtype=np.float32)
        low, high = self.limits
        planes = image.transpose(2, 0, 1)[:3] if image.ndim == 3 else image[None]
        scaled = np.clip((planes.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) * 255
        return scaled if len(scaled) == 3 else np.repeat(scaled[:1], 3, axis=0)

    @staticmethod
    def _appearance(rng: np.random.Generator, image: Tensor) -> Tensor:
        """Gamma, contrast, inversion, grey, channel mixes, blur and noise."""
        x = image / 255
        if rng.random() < 0.7:
            x = x.clamp(0, 1) ** float(np.exp(rng.uniform(-0.5, 0.5)))
        if rng.random() < 0.7:
            x = (x - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.15, 0.15)
        if rng.random() < 0.2:
            x = 1 - x
        if rng.random() < 0.25:
            x = x.mean(0, keepdim=True).expand(3, -1, -1)
        elif rng.random() < 0.25:
            mix = torch.from_numpy(rng.dirichlet(np.ones(3), 3).astype(np.float32))
            x = torch.einsum("ij,jhw->ihw", mix, x)
        if rng.random() < 0.2:
            sigma = rng.uniform(0.5, 1.5)
            taps = torch.exp(-(torch.arange(-4, 5.0) ** 2) / (2 * sigma**2))
            taps = (taps / taps.sum()).expand(3, 1, 9)
            x = F.pad(x[None], (4, 4, 4, 4), mode="replicate")
            x = F.conv2d(x, taps[:, :, :, None], groups=3)
            x = F.conv2d(x, taps[:, :, None, :], groups=3)[0]
        if rng.random() < 0.3:
            noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))
            x = x + noise * rng.uniform(0.01, 0.08)
        return x.clamp(0, 1) * 255
