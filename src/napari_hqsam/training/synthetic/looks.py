"""Looks: how a specimen appears in fluorescence, phase contrast, bright field, EM and stained."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.fields import blur, log_uniform, smooth, texture
from napari_hqsam.training.synthetic.specimen import Specimen

# Optical density of a dye in red, green and blue.
_DYES = {
    "haematoxylin and eosin": ((0.95, 1.05, 0.45), (0.08, 0.55, 0.3)),
    "violet": ((0.75, 1.1, 0.3), (0.25, 0.45, 0.1)),
    "brown": ((0.45, 0.75, 1.1), (0.18, 0.2, 0.12)),
    "blue": ((1.1, 0.6, 0.2), (0.3, 0.2, 0.08)),
    "red": ((0.12, 0.9, 0.65), (0.1, 0.25, 0.3)),
    "black": ((1.0, 1.0, 0.95), (0.15, 0.2, 0.3)),
    "fundus": ((0.25, 0.75, 0.6), (0.08, 0.35, 0.6)),
}


def fluorescence(specimen: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Bright on dark, with light from above and below the focus; (H, W) or (H, W, 3)."""
    stain = specimen.stain
    size = len(stain)
    haze = blur(stain, rng.uniform(4, 14))
    light = stain + rng.uniform(0.05, 0.6) * haze + rng.uniform(0, 0.3) * specimen.body
    if rng.random() < 0.4:  # another layer, out of focus
        layer = stain[::-1].T if rng.random() < 0.5 else np.roll(stain, size // 3, (0, 1))
        light = light + rng.uniform(0.1, 0.5) * blur(layer, rng.uniform(5, 12))
    light = light + rng.uniform(0.02, 0.25)
    if rng.random() < 0.15:  # in colour, with the body in a second channel
        colour = rng.dirichlet((0.35, 0.35, 0.35)).astype(np.float32)
        second = np.roll(colour, 1) * np.float32(rng.uniform(0, 0.6))
        return light[..., None] * colour + specimen.body[..., None] * second
    return light


def phase_contrast(specimen: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Dark bodies with bright halos on grey; (H, W) or (H, W, 3)."""
    size = len(specimen.body)
    path = specimen.body + 0.04 * texture(rng, size, 60, 3)
    fine = blur(path, rng.uniform(0.4, 1.0))
    halo = blur(path, rng.uniform(3, 10))
    wide = blur(path, rng.uniform(12, 30))
    gain = log_uniform(rng, 0.12, 0.5)
    grey = 0.5 - gain * (fine - rng.uniform(0.6, 0.9) * halo - rng.uniform(0.0, 0.2) * wide)
    rim = fine - blur(fine, 1.5)
    grey = grey - rng.uniform(0, 1.2) * rim
    if rng.random() < 0.12:  # negative phase contrast
        grey = 1 - grey
    if rng.random() < 0.35:
        return _fringes(grey, rng)
    return grey


def bright_field(specimen: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Absorbing or, a little out of focus, refracting; (H, W) or (H, W, 3)."""
    size = len(specimen.body)
    path = specimen.body + 0.03 * texture(rng, size, 50, 3)
    absorbed = rng.uniform(0.3, 1.3) if rng.random() < 0.6 else rng.uniform(0.08, 0.3)
    grey = 0.8 * np.exp(-absorbed * specimen.stain - 0.15 * path)
    defocus = rng.uniform(0.8, 2.5)
    lens = blur(path, defocus * 0.6) - blur(path, defocus * 1.6)
    sign = 1 if rng.random() < 0.5 else -1
    grey = grey + sign * rng.uniform(0.1, 0.8) * lens
    if rng.random() < 0.25:  # oblique light
        slope = blur(path, 1.0)
        dy, dx = slope - _moved(slope, 2, 0), slope - _moved(slope, 0, 2)
        turn = rng.uniform(0, 2 * np.pi)
        grey = grey + rng.uniform(0.2, 0.6) * (np.cos(turn) * dy + np.sin(turn) * dx)
    if rng.random() < 0.35:
        return _fringes(grey, rng)
    return grey


def em(specimen: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Membranes dark on grey, or the reverse; (H, W)."""
    size = len(specimen.dense)
    dense = specimen.dense + np.float32(rng.uniform(0, 0.04)) * smooth(rng, size, 1.5)
    grey = 0.85 - rng.uniform(0.6, 0.9) * np.clip(dense, 0, 1.15)
    if rng.random() < 0.15:  # a fold of the section, or dirt on it
        heading = rng.uniform(0, np.pi)
        steps = np.arange(size, dtype=np.float32) - np.float32(rng.uniform(0.1, 0.9) * size)
        off = np.cos(heading) * steps[:, None] + np.sin(heading) * steps
        off = off + 6 * smooth(rng, size, 60)
        grey = grey - rng.uniform(0.1, 0.4) * np.exp(-((off / rng.uniform(1.5, 8)) ** 2))
    if rng.random() < 0.25:  # curtains of the ion beam
        grey = grey + rng.uniform(0.01, 0.04) * smooth(rng, size, (size, rng.uniform(1.5, 6)))
    if rng.random() < specimen.inverted:
        grey = 1 - grey
    return grey


def stained(specimen: Specimen, rng: np.random.Generator) -> np.ndarray:
    """Absorbing dyes by the law of Beer and Lambert; (H, W, 3)."""
    size = len(specimen.stain)
    palette = str(rng.choice(specimen.palettes))
    first, second = (np.array(d, np.float32) for d in _DYES[palette])
    first, second = (d * rng.uniform(0.75, 1.25, 3).astype(np.float32) for d in (first, second))
    strength = rng.uniform(0.6, 1.5)
    fibres = np.float32(rng.uniform(0, 0.15)) * texture(rng, size, 40, 2)
    counter = np.clip(specimen.body * rng.uniform(0.3, 1.2) + fibres, 0, None)
    density = strength * specimen.stain[..., None] * first + counter[..., None] * second
    if palette == "fundus":
        lamp = np.array((0.85, 0.5, 0.28)) * rng.uniform(0.8, 1.15, 3)
    else:
        lamp = np.array((0.93, 0.92, 0.93)) * rng.uniform(0.93, 1.05, 3)
    return np.exp(-density) * lamp.astype(np.float32)


def _fringes(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour fringes of a simple lens and a tint of the lamp."""
    tint = rng.uniform(0.75, 1.1, 3).astype(np.float32)
    red, blue = (_moved(grey, *rng.integers(-1, 2, 2)) for _ in range(2))
    return np.stack([red, grey, blue], axis=-1) * tint


def _moved(field: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """`field` shifted by whole pixels; the border is repeated."""
    rows, columns = np.arange(field.shape[0]) - dy, np.arange(field.shape[1]) - dx
    rows, columns = np.clip(rows, 0, len(rows) - 1), np.clip(columns, 0, len(columns) - 1)
    return field[rows[:, None], columns]


BY_NAME = {
    "fluorescence": fluorescence,
    "phase contrast": phase_contrast,
    "bright field": bright_field,
    "em": em,
    "stained": stained,
}
