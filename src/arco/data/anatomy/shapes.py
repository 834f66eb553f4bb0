"""Positions, ellipsoids and painting with partial volumes: what synthetic anatomy is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Volume = npt.NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a scan lie inside the undistorted anatomy.

    Attributes:
        position_mm: [3, *S] float32, from the center of the scan.
        spacing_mm: voxel size along the three axes.
    """

    position_mm: Volume
    spacing_mm: Point

    @property
    def shape(self) -> tuple[int, ...]:
        """*S."""
        return self.position_mm.shape[1:]

    @property
    def pixel_mm(self) -> float:
        """The smallest voxel side, over which an edge is blurred by partial volume."""
        return min(self.spacing_mm)


def make_grid(shape: tuple[int, int, int], spacing_mm: Point) -> Grid:
    """The grid of a scan with nothing distorted."""
    sides = zip(shape, spacing_mm, strict=True)
    axes = [(np.arange(side) - (side - 1) / 2) * step for side, step in sides]
    position_mm = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    return Grid(position_mm, spacing_mm)


def distort(
    grid: Grid,
    rng: np.random.Generator,
    amplitude_mm: float,
    wavelength_mm: tuple[float, float],
    axes: int = 3,
) -> Grid:
    """The grid bent by smooth random waves, so that no outline in it stays an exact ellipse.

    Args:
        grid: the grid to bend.
        rng: draws four waves.
        amplitude_mm: standard deviation of the shift along each axis.
        wavelength_mm: shortest and longest wave.
        axes: how many of the axes, from the first, are shifted.
    """
    waves = 4
    directions = rng.normal(size=(waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves_per_mm = directions / rng.uniform(*wavelength_mm, size=(waves, 1))
    phases = np.tensordot(waves_per_mm.astype(np.float32), grid.position_mm, axes=1)
    phases += rng.uniform(0, 1, size=(waves, 1, 1, 1)).astype(np.float32)
    amplitudes_mm = rng.normal(0, amplitude_mm * np.sqrt(2 / waves), size=(axes, waves))
    shift_mm = np.tensordot(amplitudes_mm.astype(np.float32), np.sin(2 * np.pi * phases), axes=1)
    position_mm = grid.position_mm.copy()
    position_mm[:axes] += shift_mm
    return Grid(position_mm, grid.spacing_mm)


def turn(grid: Grid, angle: float) -> Grid:
    """The grid turned by `angle` (radians) in the plane of the first two axes, about their zero.

    The patient then lies turned by the same angle the other way in the image.
    """
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y, z = grid.position_mm
    turned = np.stack([cosine * x - sine * y, sine * x + cosine * y, z])
    return Grid(np.asarray(turned, dtype=np.float32), grid.spacing_mm)


@dataclass(frozen=True)
class Ellipsoid:
    """An organ of simple shape.

    Attributes:
        tissue: what it is made of.
        center_mm: its center.
        axes_mm: half axes; an infinite one makes it a cylinder.
        angle: rotation in the plane of the first two axes, in radians.
    """

    tissue: str
    center_mm: Point
    axes_mm: Point
    angle: float = 0.0

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside (exact on the short axis)."""
        x, y, z = (
            position - np.float32(center)
            for position, center in zip(grid.position_mm, self.center_mm, strict=True)
        )
        cosine, sine = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        along, across = cosine * x + sine * y, cosine * y - sine * x
        a, b, c = (np.float32(axis) for axis in self.axes_mm)
        relative = np.sqrt((along / a) ** 2 + (across / b) ** 2 + (z / c) ** 2)
        return np.asarray((relative - 1) * min(self.axes_mm), dtype=np.float32)


def coverage(distance_mm: Volume, pixel_mm: float) -> Volume:
    """[*S] float32 in [0, 1], the share of each voxel that lies inside a surface."""
    share = np.float32(0.5) - distance_mm / np.float32(pixel_mm)
    return np.asarray(np.clip(share, 0, 1), dtype=np.float32)


def paint(image: Volume, share: Volume, value: float | Volume) -> None:
    """Replace, in place, the covered share of each voxel of `image` by `value`."""
    image += share * (np.asarray(value, dtype=np.float32) - image)


def paint_all(
    image: Volume, organs: Iterable[Ellipsoid], tissues: Mapping[str, float], grid: Grid
) -> None:
    """Paint organs in place, later ones over earlier ones.

    Args:
        image: [*S] float32.
        organs: back to front.
        tissues: signal of each tissue.
        grid: the positions of the voxels.
    """
    for organ in organs:
        paint(image, coverage(organ.distance_mm(grid), grid.pixel_mm), tissues[organ.tissue])


def texture(grid: Grid, rng: np.random.Generator, scale_mm: float) -> Volume:
    """[*S] float32, smooth noise of mean 0 and standard deviation 1, correlated over `scale_mm`."""
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, [scale_mm / step for step in grid.spacing_mm])
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)
