"""The pixels of a label image: its axes, their lengths and steps, and the image it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.units import micrometers
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.rows import Rows

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource

Obj = TypeVar("Obj", bound=LabelObject)


@dataclass(frozen=True)
class Grid:
    """What objects are exported, measured and imported on.

    Attributes
    ----------
    axes : str
        One letter per dimension of the label array: y before x, and before, between or behind
        them t and z, if there are any.
    shape : tuple of int
        Along `axes`.
    scale : tuple of float or None
        Step along each of `axes`, in `units`.
    units : tuple of str or None
        Unit of each of `axes`, in any spelling that `unit_name` knows.
    name : str
        The image's file name, or what else it is called.
    """

    axes: str
    shape: tuple[int, ...]
    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    name: str = "image"

    def __post_init__(self) -> None:
        letters = set(self.axes)
        fits = len(self.axes) == len(letters) == len(self.shape)
        if not fits or not {"y", "x"} <= letters <= set("tzyx"):
            raise HQSAMError(
                f'{self.name}: axes "{self.axes}" do not fit labels of {len(self.shape)} '
                'dimension(s); give "yx", "zyx", "tyx" or "tzyx"'
            )
        if self.axes.index("y") > self.axes.index("x"):
            raise HQSAMError(f'{self.name}: axes "{self.axes}" have x before y; transpose them')
        for what, values in (("scale", self.scale), ("units", self.units)):
            if values is not None and len(values) != len(self.axes):
                raise HQSAMError(
                    f'{self.name}: {what} {values} needs one value per axis of "{self.axes}"'
                )

    @classmethod
    def of(cls, source: ImageSource, level: int = 0) -> Grid:
        """The grid of labels for an image: its planes, in the order t, z, y, x.

        A plane axis of another name becomes z, or t; pixels are those of a level of the image.

        Raises
        ------
        HQSAMError
            If the image has more axes than label images have.
        """
        named = label_axes(source)
        length = dict(zip(named, source.plane_shape, strict=True))
        length |= dict(zip("yx", source.yx_shape(level), strict=True))
        shrunk = dict(zip("yx", source.downsample(level), strict=True))
        own = dict(zip(named, source.plane_axes, strict=True)) | {"y": "y", "x": "x"}
        axes = "".join(a for a in "tzyx" if a in length)
        along = [source.axes.index(own[a]) for a in axes]
        return cls(
            axes,
            tuple(length[a] for a in axes),
            source.scale
            and tuple(source.scale[i] * shrunk.get(a, 1) for i, a in zip(along, axes, strict=True)),
            source.units and tuple(source.units[i] for i in along),
            source.name,
        )

    @property
    def yx(self) -> tuple[int, int]:
        """Height and width of a plane."""
        return self.shape[self.axes.index("y")], self.shape[self.axes.index("x")]

    @property
    def lengths(self) -> dict[str, int]:
        """Length of each of `axes`."""
        return dict(zip(self.axes, self.shape, strict=True))

    def length(self, axis: str) -> int:
        """Length of an axis; 1 if there is none."""
        return self.lengths.get(axis, 1)

    def plane(self, t: int = 0, z: int = 0) -> ArrayPlane:
        """The y-x plane at a time point and depth.

        Raises
        ------
        HQSAMError
            If there is none.
        """
        at = {"t": t, "z": z}
        for axis, i in at.items():
            if not 0 <= i < self.length(axis):
                raise HQSAMError(
                    f"{self.name}: there is no plane {axis} = {i}, "
                    f"only 0 to {self.length(axis) - 1}"
                )
        within = self.axes.index("y"), self.axes.index("x")
        return ArrayPlane(within, tuple(at[a] for a in self.axes if a not in "yx"))

    def planes(self) -> list[tuple[int, int]]:
        """(t, z) of all planes."""
        return list(product(range(self.length("t")), range(self.length("z"))))

    def at(self, plane: ArrayPlane) -> tuple[int, int]:
        """(t, z) of a y-x plane."""
        index = dict(zip((a for a in self.axes if a not in "yx"), plane.index, strict=True))
        return index.get("t", 0), index.get("z", 0)

    def micrometers(self, axes: str) -> dict[str, float] | None:
        """Steps along spatial axes in µm, or None if one is not known."""
        if self.scale is None or self.units is None:
            return None
        along = [self.axes.index(a) for a in axes if a in self.axes]
        steps = micrometers([self.scale[i] for i in along], [self.units[i] for i in along])
        if steps is None:
            return None
        return {self.axes[i]: step for i, step in zip(along, steps, strict=True)}

    def upright(self, obj: Obj) -> Obj:
        """The object with all its masks on y-x planes, whichever planes they were drawn on.

        Masks on one plane are united.

        Raises
        ------
        HQSAMError
            If a mask is of an array with other axes.
        """
        within = self.axes.index("y"), self.axes.index("x")
        for mask in obj.masks:
            if mask.plane.ndim != len(self.axes):
                raise HQSAMError(
                    f"object {obj.id}: its masks have {mask.plane.ndim} axes, but the labels "
                    f'"{self.axes}"'
                )
        planes = [mask.plane for mask in obj.masks]
        if all(plane.axes == within for plane in planes) and len(set(planes)) == len(planes):
            return obj
        parts: dict[ArrayPlane, list[Rows]] = {}
        for mask in obj.masks:
            rows = Rows.of_mask(mask)
            if mask.plane.axes == within:
                parts.setdefault(mask.plane, []).append(rows)
                continue
            for plane, part in self._cut(mask.plane, rows):
                parts.setdefault(plane, []).append(part)
        united = (Rows.union(parts[p]).mask(p) for p in sorted(parts, key=lambda p: p.index))
        return replace(obj, masks=tuple(mask for mask in united if mask.area))

    def _cut(self, plane: ArrayPlane, rows: Rows) -> Iterator[tuple[ArrayPlane, Rows]]:
        """What pixels of a plane in another direction are on each y-x plane."""
        count = rows.x1 - rows.x0
        v = np.repeat(rows.y, count)
        u = np.arange(len(v)) - np.repeat(np.cumsum(count) - count, count)
        u += np.repeat(rows.x0, count)
        positions = np.empty((len(v), plane.ndim), np.int64)
        for axis, at in zip(plane.others, plane.index, strict=True):
            positions[:, axis] = at
        positions[:, plane.axes[0]], positions[:, plane.axes[1]] = v, u
        iy, ix = self.axes.index("y"), self.axes.index("x")
        others = [i for i in range(plane.ndim) if i not in (iy, ix)]
        found, which = np.unique(positions[:, others], axis=0, return_inverse=True)
        which = which.ravel()
        for k, index in enumerate(found.tolist()):
            y, x = positions[which == k][:, [iy, ix]].T
            yield ArrayPlane((iy, ix), tuple(index)), Rows.of(y, x, x + 1)


def label_axes(source: ImageSource) -> str:
    """The letters that the plane axes of an image have in its labels, out of t and z.

    Raises
    ------
    HQSAMError
        If there are too many.
    """
    spare = [a for a in "zt" if a not in source.plane_axes]
    unnamed = [a for a in source.plane_axes if a not in "zt"]
    if len(unnamed) > len(spare):
        raise HQSAMError(
            f'{source.name}: axes "{source.axes}" are more than t, z, y and x, which label images '
            "have; split the file"
        )
    # the last axis is the likeliest depth
    letter = dict(zip(reversed(unnamed), spare, strict=False))
    return "".join(letter.get(a, a) for a in source.plane_axes)
