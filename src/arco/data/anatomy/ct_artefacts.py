"""What goes wrong in a CT scan, added to its Hounsfield units in place."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from arco.data.anatomy.shapes import Volume

BODY_HU = -300.0
"""Air is below it, tissue above."""


def add_streaks(values: Volume, rng: np.random.Generator, strength_hu: float) -> None:
    """Streaks from left to right, where few photons get through the body's long axis.

    Args:
        values: [x, y, z].
        rng: draws the streaks and how strong they are in each slice.
        strength_hu: their standard deviation where they are strongest.
    """
    white = rng.standard_normal(values.shape, dtype=np.float32)
    streaks = ndimage.gaussian_filter(white, (14, 0.6, 0))
    along = ndimage.gaussian_filter1d(rng.random(values.shape[2]), 2.0)
    along = (along - along.min()) / max(np.ptp(along), 1e-6)
    values += streaks * (strength_hu / streaks.std() * along).astype(np.float32)


def add_metal(values: Volume, rng: np.random.Generator, highest_hu: float) -> None:
    """An implant in two slices, somewhere in the body, with dark and bright rays around it."""
    body = np.flatnonzero(values > BODY_HU)
    at = np.unravel_index(int(rng.choice(body)), values.shape)
    x, y = np.ogrid[: values.shape[0], : values.shape[1]]
    x, y = x - at[0], y - at[1]
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    waves = np.arange(2, 9).reshape(-1, 1, 1)
    rays = np.cos(waves * angle + rng.uniform(0, 2 * np.pi, waves.shape)).sum(axis=0)
    rays = rng.uniform(30, 110) * rays * np.exp(-radius / rng.uniform(8, 20))
    slices = slice(int(at[2]), int(at[2]) + 2)
    values[..., slices] += rays.astype(np.float32)[..., None]
    values[radius < 1.5, slices] = highest_hu


def add_specks(values: Volume, rng: np.random.Generator, count: int, highest_hu: float) -> None:
    """Clips, electrodes and drops of contrast agent: one or two bright voxels each."""
    body = np.flatnonzero(values[:-1] > BODY_HU)
    for index in rng.choice(body, count).tolist():
        x, y, z = np.unravel_index(index, (values.shape[0] - 1, *values.shape[1:]))
        values[x : x + 2, y, z] = highest_hu
