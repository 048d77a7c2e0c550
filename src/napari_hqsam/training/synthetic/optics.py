"""From what arrives at the lens to eight bits: blur, light, dust, noise, artefacts."""

from __future__ import annotations

import io

import numpy as np

from napari_hqsam.training.synthetic.fields import Field, blur, log_uniform, smooth
from napari_hqsam.training.synthetic.strokes import Curve, curve, paint

# Point-spread function, standard deviation in pixels, from and to.
_BLUR = {"em": (0.2, 1.1)}
_BLUR_OF_LIGHT = (0.4, 2.0)


def expose(image: Field, look: str, rng: np.random.Generator) -> np.ndarray:
    """Take the picture.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, 3) light, of any range.
    look : str
        Which decides on dust and on how sharp it can be.
    rng : Generator

    Returns
    -------
    ndarray
        Same shape, uint8.
    """
    size = len(image)
    image = blur(image, log_uniform(rng, *_BLUR.get(look, _BLUR_OF_LIGHT)))
    if rng.random() < 0.7:
        uneven = 1 + np.float32(rng.uniform(0.02, 0.2)) * smooth(rng, size, size / 1.5)
        image = image * _like(np.clip(uneven, 0.3, 2), image)
    if rng.random() < (0.6 if look in ("phase contrast", "bright field") else 0.35):
        _dust(image, look, rng)
    low, high = np.percentile(image[::4, ::4], (0.5, 99.5))
    if image.ndim == 3:  # a full stretch would exaggerate the tint of the lamp
        low *= rng.uniform(0, 1)
    image = (image - np.float32(low)) / np.float32(max(high - low, 1e-3))
    image = _noise(image, look, rng)
    black, white = rng.uniform(0, 0.15), rng.uniform(0.75, 1.0)
    if rng.random() < 0.15:  # little contrast
        black = rng.uniform(0, 0.6)
        white = black + rng.uniform(0.2, 0.4)
    if look == "fluorescence" and rng.random() < 0.25:  # much too dark, as often
        black, white = rng.uniform(0, 0.04), rng.uniform(0.15, 0.5)
    eight_bits = np.clip((image * (white - black) + black) * 255, 0, 255).astype(np.uint8)
    return _compressed(eight_bits, rng) if rng.random() < 0.12 else eight_bits


def _like(field: Field, image: Field) -> Field:
    return field[..., None] if image.ndim == 3 else field


def _noise(image: Field, look: str, rng: np.random.Generator) -> Field:
    """Of photons, which grows with the light, of reading, and of line scanning."""
    size = len(image)
    photons = log_uniform(rng, 15, 2000)
    if look == "stained":
        photons = log_uniform(rng, 300, 5000)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    image = image + noise * np.sqrt((np.clip(image, 0, None) + 0.05) / np.float32(photons))
    if rng.random() < 0.3:  # coarser than a pixel, as after resampling
        grain = smooth(rng, size, rng.uniform(1.5, 2.5))
        image = image + _like(np.float32(rng.uniform(0.01, 0.05)) * grain, image)
    if look in ("em", "fluorescence") and rng.random() < 0.1:
        lines = rng.normal(0, rng.uniform(0.01, 0.04), (size, 1)).astype(np.float32)
        image = image + _like(np.broadcast_to(lines, (size, size)), image)
    return image


def _dust(image: Field, look: str, rng: np.random.Generator) -> None:
    """Specks, rings out of focus and fibres, in place."""
    size = len(image)
    contrast = float(image.std())
    sign = 1 if look == "fluorescence" else -1
    for _ in range(rng.integers(1, 7)):
        radius = log_uniform(rng, 0.6, 14)
        place = rng.uniform(0, size, 2)
        strength = np.float32(sign * contrast * rng.uniform(0.3, 3))
        if rng.random() < 0.2:
            length = rng.uniform(10, 90)
            line = curve(rng, place, rng.uniform(0, 6.3), length, (0.6, 0.6), bend=0.6)
        else:
            line = Curve(place[None], np.array([radius]))
        window, distance = paint(line, size, 6.0)
        if distance.size == 0:
            continue
        soft = rng.uniform(0.7, 4)
        spot = 1 / (1 + np.exp(np.clip(distance / soft * 2, -30, 30)))
        if look in ("phase contrast", "bright field") and rng.random() < 0.6:  # diffraction rings
            rings = np.cos(distance * rng.uniform(0.6, 1.6)) * np.exp(-np.abs(distance) / 4)
            spot = rng.uniform(0, 0.6) * spot + rng.uniform(0.1, 0.6) * rings
        image[window] += _like(strength * spot.astype(np.float32), image)


def _compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """After JPEG of moderate quality."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(35, 85)))
    return np.asarray(Image.open(file)).copy()
