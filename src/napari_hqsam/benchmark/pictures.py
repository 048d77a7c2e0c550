"""Synthetic images on disk: of any size, and empty but for some places, so that they take little.

What is not written reads as background; to whoever opens them they are as large as they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]

_BACKGROUND, _BRIGHT, _NOISE = 400, 900, 60
LIMITS = (200.0, 1400.0)
"""Intensities that become black and white."""

_CHUNK, _VOLUME_CHUNK = 512, (32, 256, 256)


@dataclass(frozen=True)
class Place:
    """An object to prompt.

    Attributes
    ----------
    plane : tuple of int
    box : tuple of int
        (y0, x0, y1, x1), its outermost pixels.
    """

    plane: tuple[int, ...]
    box: Box

    @property
    def middle(self) -> tuple[float, float]:
        """(y, x)."""
        y0, x0, y1, x1 = self.box
        return (y0 + y1) / 2, (x0 + x1) / 2


def sparse_plane(path: Path, size: int, patch: int, places: int, seed: int = 0) -> list[Place]:
    """Write an OME-Zarr of size × size pixels, uint16, with all its pyramid levels.

    Parameters
    ----------
    path : pathlib.Path
        Folder to make.
    size : int
        At least `patch`.
    patch : int
        Side of a place in pixels. In its middle lies an ellipse, and branches are around it.
    places : int
        How many, spread evenly.
    seed : int
    """
    levels = _create(path, (size, size), "yx", (_CHUNK, _CHUNK))
    rng = np.random.default_rng(seed)
    step = 2 ** (len(levels) - 1)  # so that a place covers whole pixels of all levels
    found = []
    for i in range(places):
        # the R2 sequence covers a square evenly, whatever the number of points
        free = (size - patch) // step
        y, x = (int((0.5 + i * g) % 1 * (free + 1)) * step for g in (0.7548776662, 0.5698402910))
        pixels, (y0, x0, y1, x1) = draw_patch(rng, patch)
        _write(levels, (y, x), pixels)
        found.append(Place((), (y + y0, x + x0, y + y1, x + x1)))
    return found


def sparse_stack(
    path: Path, shape: tuple[int, int, int], patch: int, places: int, seed: int = 0
) -> tuple[list[Place], list[Place]]:
    """Write a stack, zyx, whose middle holds a bar of ellipsoids, one after the other along x.

    Returns
    -------
    list of Place, list of Place
        The objects in xy, and the same ones in xz, where the plane is a y and the box z, x.
    """
    levels = _create(path, shape, "zyx", _VOLUME_CHUNK)
    rng = np.random.default_rng(seed)
    depth, height, width = shape
    step = 2 ** (len(levels) - 1)
    thick = min(_VOLUME_CHUNK[1], height) // step * step
    top = (height - thick) // 2 // step * step
    # they neither touch each other nor the ends
    largest = (0.45 * depth / places, 0.45 * thick, 0.45 * width / places)
    radii = np.minimum(largest, patch / 6)
    centre_y = top + thick // 2
    noise = _draw_noise(rng, (_VOLUME_CHUNK[0], thick, patch))  # the same again and again: quicker
    centres = [((i + 0.5) * (depth / places), (i + 0.5) * width / places) for i in range(places)]
    for z in range(0, depth, _VOLUME_CHUNK[0]):
        deep = min(_VOLUME_CHUNK[0], depth - z)
        for cz, cx in centres:
            left = int(min(max(cx - patch / 2, 0), width - patch)) // step * step
            grid = np.ogrid[z : z + deep, top : top + thick, left : left + patch]
            at = zip(grid, (cz, centre_y, cx), radii, strict=True)
            inside = sum(((g - c) / r) ** 2 for g, c, r in at) <= 1
            _write(levels, (z, top, left), _expose(inside, noise[:deep]))
    rz, ry, rx = radii
    xy, xz = [], []
    for cz, cx in centres:
        along = (round(cx - rx), round(cx + rx))
        box = (round(centre_y - ry), along[0], round(centre_y + ry), along[1])
        xy.append(Place((int(cz),), box))
        xz.append(Place((centre_y,), (round(cz - rz), along[0], round(cz + rz), along[1])))
    return xy, xz


def dense_plane(path: Path, side: int, seed: int = 0) -> None:
    """Write a zarr array of side × side pixels, uint16, full of objects."""
    import zarr

    pixels, _ = draw_patch(np.random.default_rng(seed), side)
    chunk = min(_CHUNK, side)
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, chunks=(chunk, chunk))
    array[...] = pixels


def draw_patch(rng: np.random.Generator, side: int) -> tuple[NDArray[np.uint16], Box]:
    """A noisy picture (side, side) with an ellipse in its middle and branches around it.

    Returns
    -------
    ndarray, (y0, x0, y1, x1)
        The picture, and the outermost pixels of the ellipse.
    """
    y, x = np.ogrid[:side, :side]
    centre, ry, rx = side / 2, side / 12, side / 9
    inside = ((y - centre) / ry) ** 2 + ((x - centre) / rx) ** 2 <= 1
    low, high = np.array([centre - ry, centre - rx]), np.array([centre + ry, centre + rx])
    for corner in (0.2, 0.8):
        _branch(inside, rng, np.array([0.05, corner]) * side, 0.1, side / 6, side / 60)
    y0, x0, y1, x1 = (int(v) for v in (*np.ceil(low), *np.floor(high)))
    return _expose(inside, _draw_noise(rng, inside.shape)), (y0, x0, y1, x1)


def _branch(
    inside: NDArray[np.bool_],
    rng: np.random.Generator,
    start: NDArray[Any],
    angle: float,
    length: float,
    width: float,
) -> None:
    """Draw a branch that forks, in place."""
    if width < 1:
        return
    for t in np.linspace(0, 1, max(2, int(length / width * 2))):
        cy, cx = start + t * length * np.array([np.cos(angle), np.sin(angle)])
        r = int(np.ceil(width))
        top, left = max(0, int(cy) - r), max(0, int(cx) - r)
        part = inside[top : int(cy) + r + 1, left : int(cx) + r + 1]
        if part.size:
            y, x = np.ogrid[: part.shape[0], : part.shape[1]]
            part |= (y + top - cy) ** 2 + (x + left - cx) ** 2 <= width**2
    end = start + length * np.array([np.cos(angle), np.sin(angle)])
    for turn in (-0.5, 0.5):
        bent = angle + turn + float(rng.normal(0, 0.1))
        _branch(inside, rng, end, bent, length * 0.75, width * 0.7)


def _draw_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32) * _NOISE


def _expose(inside: NDArray[np.bool_], noise: NDArray[np.float32]) -> NDArray[np.uint16]:
    pixels = _BACKGROUND + noise + (_BRIGHT - _BACKGROUND) * inside
    return np.clip(pixels, 0, 65535).astype(np.uint16)


def _create(path: Path, shape: tuple[int, ...], axes: str, chunks: tuple[int, ...]) -> list[Any]:
    """An OME-Zarr 0.5 without pixels; its arrays, each of half the height and width before."""
    import zarr

    shapes = [shape]
    while max(shapes[-1][-2:]) > 2 * _CHUNK:
        *rest, h, w = shapes[-1]
        shapes.append((*rest, -(-h // 2), -(-w // 2)))
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [2.0**level if a in "yx" else 1.0 for a in axes]}
            ],
        }
        for level in range(len(shapes))
    ]
    described = [{"name": a, "type": "space"} for a in axes]
    multiscale = {"name": path.stem, "axes": described, "datasets": datasets}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes={"ome": ome})
    return [
        group.create_array(
            str(level),
            shape=extent,
            dtype="uint16",
            chunks=tuple(min(n, c) for n, c in zip(extent, chunks, strict=True)),
            fill_value=_BACKGROUND,
            dimension_names=list(axes),
        )
        for level, extent in enumerate(shapes)
    ]


def _write(levels: list[Any], origin: tuple[int, ...], pixels: NDArray[np.uint16]) -> None:
    """Write a box into all levels."""
    *rest, y, x = origin
    levels[0][_index((*rest, y, x), pixels.shape)] = pixels
    for _, coarse in pairwise(levels):
        y, x = y // 2, x // 2
        h, w = pixels.shape[-2] // 2 * 2, pixels.shape[-1] // 2 * 2
        even = pixels[..., :h, :w].astype(np.uint32)
        four = even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2]
        pixels = ((four + even[..., 1::2, 1::2] + 2) // 4).astype(np.uint16)
        if 0 in pixels.shape:
            return
        coarse[_index((*rest, y, x), pixels.shape)] = pixels


def _index(origin: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))
