"""What a scanner adds to the anatomy: bands, flow, ghosts, gains of slices, voxels too bright.

Each function is one artefact and knows nothing of organs, so that any synthetic dataset may use it.
Axes of a volume are [x, y, slices].
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from arco.data.anatomy.shapes import Grid, Volume, texture


def banding(
    grid: Grid, rng: np.random.Generator, period_mm: tuple[float, float], depth: float
) -> Volume:
    """[*S] float32 in [1 - depth, 1]: factors of a signal with dark bands across the image.

    Steady-state sequences lose their signal where the magnetic field is off by a fixed amount. The
    bands follow the lines of equal field, which bend.

    Args:
        grid: the positions of the voxels.
        rng: draws direction, distance and bend of the bands.
        period_mm: smallest and largest distance between two bands.
        depth: share of the signal that is lost in the middle of a band.
    """
    angle, start, tilt = rng.uniform((0, 0, -0.3), (2 * np.pi, 1, 0.3))
    direction = np.array([np.cos(angle), np.sin(angle), tilt], dtype=np.float32)
    period = rng.uniform(*period_mm)
    turns = np.tensordot(direction / np.float32(period), grid.position_mm, axes=1)
    across = np.tensordot(direction[[1, 0]] * (1, -1), grid.position_mm[:2], axes=1)
    bend = rng.uniform(-0.25, 0.25) * np.square(across / period)
    phase = 2 * np.pi * (turns + bend + start)
    return np.asarray(1 - depth * np.exp((np.cos(phase) - 1) / 0.15), dtype=np.float32)


def flow(grid: Grid, rng: np.random.Generator, scale_mm: float, deviation: float) -> Volume:
    """[*S] float32, factors of the signal of moving blood: jets and eddies, mean 1.

    Each slice has its own, where slices are thicker than `scale_mm`.

    Args:
        grid: the positions of the voxels.
        rng: draws the field.
        scale_mm: size of an eddy.
        deviation: standard deviation of the factors, before they are kept within [0.25, 1.6].
    """
    factors = 1 + np.float32(deviation) * texture(grid, rng, scale_mm)
    return np.asarray(np.clip(factors, 0.25, 1.6), dtype=np.float32)


def slice_gains(grid: Grid, rng: np.random.Generator, deviation: float) -> Volume:
    """[1, 1, slices] float32: how much brighter each slice is than it should be, mean about 1."""
    gains = np.exp(rng.normal(0, deviation, size=(1, 1, grid.shape[2])))
    return np.asarray(gains, dtype=np.float32)


def ghost(source: Volume, axis: int, shift: int, strength: float) -> Volume:
    """[*S] float32, copies of a moving organ, `shift` voxels to either side along `axis`.

    Args:
        source: [*S], the signal that moves; zero elsewhere.
        axis: the phase-encoding direction.
        shift: distance of the copies; what leaves the image comes back on the other side.
        strength: signal of a copy over that of its source.
    """
    copies = np.roll(source, shift, axis) + np.roll(source, -shift, axis)
    return np.asarray(np.float32(strength) * copies, dtype=np.float32)


def bright_spots(
    image: Volume, rng: np.random.Generator, count: int, ratio: float, width: float = 0.8
) -> Volume:
    """[*S] float32: the image with a few voxels so bright that its maximum is theirs.

    Spots lie among the brightest tenth of the voxels, as inflow and tissue beside the coil do. The
    brightest has `ratio` times the 99th percentile; after min-max scaling the whole scan is the
    darker the larger `ratio` is.

    Args:
        image: [*S], not changed.
        rng: draws positions and heights.
        count: number of spots, at least 1.
        ratio: of the new maximum to the 99th percentile; whatever is brighter is cut off.
        width: standard deviation of a spot within its slice, in voxels.
    """
    ninetieth, ninety_ninth = np.percentile(image, (90, 99)).tolist()
    peak = ratio * ninety_ninth
    candidates = np.flatnonzero(image > ninetieth)
    spots = np.zeros_like(image)
    heights = np.append(1.0, rng.uniform(0.3, 0.95, size=count - 1))
    spots.flat[rng.choice(candidates, count, replace=False)] = heights.astype(np.float32)
    spread = ndimage.gaussian_filter(spots, (width, width, 0), truncate=3)
    spread *= np.float32(peak / spread.max())
    return np.asarray(np.minimum(np.maximum(image, spread), np.float32(peak)), dtype=np.float32)
