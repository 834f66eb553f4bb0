"""What scans look like in numbers: sizes, places and intensities, each relative to the image.

The functions take prepared arrays of any dataset: labels [Z, H, W] of class indices with 0 the
background, images [Z, H, W] of intensities in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

PERCENTILES = (5, 50, 95)


def organ_share(labels: np.ndarray) -> float:
    """Share of all pixels that belong to an organ."""
    return float((labels > 0).mean())


def share_of_slices_without(labels: np.ndarray) -> float:
    """Share of the slices that show no organ."""
    return float((~(labels > 0).any(axis=(1, 2))).mean())


def largest_slice(labels: np.ndarray) -> np.ndarray:
    """[H, W] of bool: the organs in the slice that shows most of them."""
    organs = labels > 0
    return np.asarray(organs[organs.sum(axis=(1, 2)).argmax()])


def extent(mask: np.ndarray) -> float:
    """The longer side of the box around a mask [H, W], from center to center of its outer pixels.

    Both sides are shares of the image's own.
    """
    sides = (
        np.ptp(indices) / size for indices, size in zip(mask.nonzero(), mask.shape, strict=True)
    )
    return float(max(sides))


def distance_from_center(mask: np.ndarray) -> float:
    """From the mean position of a mask [H, W] to the middle pixel, in shares of the sides."""
    offsets = (
        indices.mean() / size - 0.5
        for indices, size in zip(mask.nonzero(), mask.shape, strict=True)
    )
    return float(np.hypot(*offsets))


def mean_intensity(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean of an image over a mask of the same shape."""
    return float(image[mask].mean(dtype=np.float64))


def deviation(image: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of an image over a mask of the same shape."""
    return float(image[mask].std(dtype=np.float64))


def percentiles(rows: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, float, float]]:
    """5th, 50th and 95th percentile over scans of every measure.

    Args:
        rows: one mapping per scan, from the names of the measures to their values.
    """
    every = list(rows)
    return {
        name: tuple(np.percentile([row[name] for row in every], PERCENTILES).tolist())
        for name in every[0]
    }
