"""Vessels and smooth unions: what synthetic organs need beyond ellipsoids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.shapes import Ellipsoid, Grid, Point, Volume, coverage, paint


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
    lowest, highest = (extreme(grid.position_mm[0], axis=(1, 2)) for extreme in (np.min, np.max))
    for organ in organs:
        # Most organs reach over a small part of the scan; the rest of it need not be looked at.
        first_mm, last_mm = _reach_mm(organ, grid.pixel_mm)
        start, stop = _enclosing((highest > first_mm) & (lowest < last_mm))
        part = Grid(grid.position_mm[:, start:stop], grid.spacing_mm)
        share = coverage(organ.distance_mm(part), grid.pixel_mm)
        for image, signal in zip(images, tissues, strict=True):
            paint(image[start:stop], share, signal[organ.tissue])


def _reach_mm(organ: Organ, pixel_mm: float) -> tuple[float, float]:
    """Along x, where an organ covers something; everywhere if its kind is not known here."""
    if isinstance(organ, Ellipsoid):
        a, b, _ = organ.axes_mm
        half = np.hypot(a * np.cos(organ.angle), b * np.sin(organ.angle))
        half *= 1 + pixel_mm / min(organ.axes_mm)
        return organ.center_mm[0] - half, organ.center_mm[0] + half
    if isinstance(organ, Tube):
        ends, half = (organ.start_mm[0], organ.end_mm[0]), max(organ.radii_mm) + pixel_mm
        return min(ends) - half, max(ends) + half
    return -np.inf, np.inf


def _enclosing(occupied: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """From the first True to after the last; nothing, if there is none."""
    indices = np.flatnonzero(occupied)
    return (int(indices[0]), int(indices[-1]) + 1) if indices.size else (0, 0)


def blended(first: Volume, second: Volume, width_mm: float) -> Volume:
    """[*S] float32, distance to the union of two bodies whose seam is rounded over `width_mm`."""
    width = np.float32(width_mm)
    overlap = np.clip(1 - np.abs(first - second) / width, 0, 1)
    return np.asarray(np.minimum(first, second) - width / 4 * overlap**2, dtype=np.float32)
