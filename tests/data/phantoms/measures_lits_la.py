"""What real scans of LiTS and LA were measured by, and how alike phantoms have to be.

Measures are in shares of the image: of its pixels, of its side, of its range of intensities. Real
ranges are the 5th percentile, the median and the 95th percentile over scans.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Range = tuple[float, float, float]


def percentiles(values: Sequence[float]) -> Range:
    low, median, high = np.percentile(values, (5, 50, 95)).tolist()
    return (low, median, high)


def assert_alike(found: Range, real: Range) -> None:
    """The median lies where 9 of 10 real scans do, and patients differ about as much."""
    assert real[0] < found[1] < real[2], (found, real)
    spread = (found[2] - found[0]) / (real[2] - real[0])
    assert 0.5 < spread < 2, (found, real)


def share_of_slices(organ: np.ndarray) -> float:
    """Of [Z, H, W] bool: the organ's share of a slice, in the median of those that show some."""
    shares = organ.mean(axis=(1, 2))
    return float(np.median(shares[shares > 0]))


def extent(organ: np.ndarray) -> float:
    """The longer side of the box around all slices of the organ, by the image's side."""
    seen = np.argwhere(organ.any(axis=0))
    return float((np.ptp(seen, axis=0) / organ.shape[1:]).max())


def distance_from_center(organ: np.ndarray) -> float:
    """From the image's middle to the organ's in its largest slice, by the image's side."""
    largest = organ[organ.sum(axis=(1, 2)).argmax()]
    middle = np.argwhere(largest).mean(axis=0) / largest.shape
    return float(np.hypot(*(middle - 0.5)))
