"""What goes wrong in an MR scan, added to its image [x, y, z] in place."""

from __future__ import annotations

import numpy as np

from arco.data.anatomy.shapes import Grid, Volume


def add_ghost(image: Volume, rng: np.random.Generator, strength: float) -> None:
    """A faint copy of the image, moved along y: the chest breathed between two readings.

    Args:
        image: [x, y, z].
        rng: draws how far it is moved, a sixth to a half of the side.
        strength: of the copy, relative to the image.
    """
    side = image.shape[1]
    image += np.float32(strength) * np.roll(image, int(rng.integers(side // 6, side // 2)), axis=1)


def add_bands(image: Volume, grid: Grid, rng: np.random.Generator, strength: float) -> None:
    """Dark and bright bands in one direction of the axial plane.

    Args:
        image: [x, y, z].
        grid: the positions of the voxels.
        rng: draws direction, phase and a wavelength of 15 to 45 mm.
        strength: their amplitude, relative to the image.
    """
    angle, phase = rng.uniform(0, 2 * np.pi, size=2)
    across_mm = grid.position_mm[0] * np.float32(np.cos(angle))
    across_mm += grid.position_mm[1] * np.float32(np.sin(angle))
    waves = 2 * np.pi / rng.uniform(15, 45) * across_mm + phase
    image *= 1 + np.float32(strength) * np.cos(waves, dtype=np.float32)


def add_inflow(image: Volume, grid: Grid, center_mm: np.ndarray, strength: float) -> None:
    """Fresh blood that the preparing pulses missed: bright around a point, fading over 12 mm.

    Args:
        image: [x, y, z].
        grid: the positions of the voxels.
        center_mm: [3], where it enters.
        strength: at the center, relative to the image.
    """
    offset_mm = grid.position_mm - center_mm.astype(np.float32).reshape(3, 1, 1, 1)
    near = np.exp(-np.square(offset_mm).sum(axis=0) / np.float32(2 * 12.0**2))
    image *= 1 + np.float32(strength) * near


def add_glints(image: Volume, rng: np.random.Generator, count: int, peak: float) -> None:
    """A few voxels far brighter than all tissue, in the middle half of the image.

    Args:
        image: [x, y, z].
        rng: draws where they are; each is one to eight voxels large.
        count: how many, at least 1.
        peak: intensity of the first; the others lie between half of it and all.
    """
    for number in range(count):
        low = np.array(image.shape[:2]) // 4
        x, y = rng.integers(low, np.array(image.shape[:2]) - low).tolist()
        z = int(rng.integers(1, image.shape[2] - 2))
        width, depth, height = rng.integers(1, 3, size=3).tolist()
        image[x : x + width, y : y + depth, z : z + height] = peak * (
            rng.uniform(0.5, 1) if number else 1
        )
