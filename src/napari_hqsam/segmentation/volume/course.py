"""Along which axis objects are followed, and which planes that passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource
from napari_hqsam.labels.grid import Grid, label_axes

_AXES = "zt"


@dataclass(frozen=True)
class Course:
    """The planes of an image that follow each other along one axis.

    Attributes
    ----------
    axis : {"z", "t"}
    index : int
        Its place in a plane of the image.
    others : tuple of int
        A plane of the image; what stands at `index` does not matter.
    length : int
        How many planes there are. A *position* is a number below it.
    """

    axis: str
    index: int
    others: tuple[int, ...]
    length: int

    @classmethod
    def of(
        cls, source: ImageSource, axis: str | None = None, plane: Sequence[int] | None = None
    ) -> Course:
        """Choose an axis of an image.

        Parameters
        ----------
        source : ImageSource
        axis : {"z", "t"}, optional
            z by default; t if there is no z.
        plane : sequence of int, optional
            One that is passed; needed if the image has further axes.

        Raises
        ------
        HQSAMError
            If there is no such axis, it has one plane only, or the plane is not known.
        """
        there, name = label_axes(source), f'the image has the axes "{source.axes}"'
        if axis is not None and axis not in _AXES:
            raise HQSAMError(
                f'axis "{axis}": objects are followed along z or t; {name}: say with axes= what '
                "its dimensions are"
            )
        found = [a for a in _AXES if a in there] if axis is None else [axis]
        if not found or found[0] not in there:
            asked = "z or t" if axis is None else axis
            raise HQSAMError(
                f"there is no axis {asked} to follow objects along: {name}; if a dimension has "
                "another meaning, say so with axes="
            )
        index = there.index(found[0])
        length = source.plane_shape[index]
        if length < 2:
            raise HQSAMError(
                f"axis {found[0]} has a single plane: there is nothing to propagate to"
            )
        if plane is None:
            if any(n > 1 for i, n in enumerate(source.plane_shape) if i != index):
                raise HQSAMError(
                    f"{name}: say on which plane along the others, for example with seeds there"
                )
            plane = (0,) * len(there)
        return cls(found[0], index, source.check_plane(plane), length)

    def plane(self, position: int) -> tuple[int, ...]:
        """The plane of the image at a position."""
        return (*self.others[: self.index], position, *self.others[self.index + 1 :])

    def holds(self, plane: Sequence[int]) -> bool:
        """Whether a plane of the image is one of these."""
        return self.plane(plane[self.index]) == tuple(plane)

    def spacing(self, source: ImageSource, level: int = 0) -> float | None:
        """Step along z in pixels of a level; None along t, or if it is not known."""
        grid = Grid.of(source, level)
        step = grid.micrometers("zyx")
        if step is None and grid.scale is not None:  # of unknown unit, the same for all
            step = dict(zip(grid.axes, grid.scale, strict=True))
        if self.axis != "z" or step is None:
            return None
        return step["z"] / min(step["y"], step["x"])
