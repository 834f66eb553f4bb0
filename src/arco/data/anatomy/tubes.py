"""Vessels and smooth unions: what synthetic organs need beyond ellipsoids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from arco.data.anatomy.shapes import Grid, Point, Volume, coverage, paint


@dataclass(frozen=True)
class Tube:
    """A straight piece of a vessel, rounded at both ends.

    Attributes:
        tissue: what it is made of.
        start_mm, end_mm: the ends of its center line.
        radii_mm: its radius at the start and at the end.
    """

    tissue: str
    start_mm: Point
    end_mm: Point
    radii_mm: tuple[float, float]

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside."""
        start = np.array(self.start_mm)
        axis = np.array(self.end_mm) - start
        length = axis @ axis
        along = np.tensordot((axis / length).astype(np.float32), grid.position_mm, axes=1)
        along -= np.float32(start @ axis / length)
        np.clip(along, 0, 1, out=along)
        squares = np.zeros_like(along)
        for position, origin, step in zip(grid.position_mm, start, axis, strict=True):
            offset = position - np.float32(origin)
            offset -= np.float32(step) * along
            squares += np.square(offset, out=offset)
        first, last = self.radii_mm
        along *= np.float32(last - first)
        along += np.float32(first)
        return np.asarray(np.sqrt(squares, out=squares) - along, dtype=np.float32)


class Organ(Protocol):
    """Anything that can be painted: ellipsoids, tubes, ..."""

    @property
    def tissue(self) -> str:
        """What it is made of."""
        ...

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside."""
        ...


def paint_organs(
    images: Sequence[Volume],
    organs: Iterable[Organ],
    tissues: Sequence[Mapping[str, float]],
    grid: Grid,
) -> None:
    """Paint organs in place into several images of one anatomy, later ones over earlier ones.

    Args:
        images: [*S] float32 each.
        organs: back to front.
        tissues: signal of each tissue in each image.
        grid: the positions of the voxels.
    """
    for organ in organs:
        share = coverage(organ.distance_mm(grid), grid.pixel_mm)
        for image, signal in zip(images, tissues, strict=True):
            paint(image, share, signal[organ.tissue])


def blended(first: Volume, second: Volume, width_mm: float) -> Volume:
    """[*S] float32, distance to the union of two bodies whose seam is rounded over `width_mm`."""
    width = np.float32(width_mm)
    overlap = np.clip(1 - np.abs(first - second) / width, 0, 1)
    return np.asarray(np.minimum(first, second) - width / 4 * overlap**2, dtype=np.float32)
