"""What real scans of LiTS and LA were measured by, and how alike phantoms have to be.

Measures are in shares of the image: of its pixels, of its side, of its range of intensities. Real
ranges are the 5th percentile, the median and the 95th percentile over scans.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from arco.data.cases import RawCase
from arco.data.cropping import Crop, crop_region, cut_out
from arco.data.geometry import read_scan

Range = tuple[float, float, float]


PUBLIC_BOX = Crop("label", (50, 70, 70), (4.4, 9.1, 9.1))
"""What the public code cuts scans of LA to: 112 x 112 x 80 voxels of 0.625 mm and a margin."""


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


def boxed(case: RawCase) -> tuple[np.ndarray, np.ndarray]:
    """Image in [0, 1] and organ, both [Z, H, W], in the box that the public code cuts."""
    assert case.label is not None
    image = read_scan(case.images[0])
    organ = sitk.Cast(read_scan(case.label, labels=True) > 0, sitk.sitkUInt8)
    box = crop_region(organ, PUBLIC_BOX)
    values = sitk.GetArrayFromImage(cut_out(image, box)).astype(np.float64)
    scaled = (values - values.min()) / np.ptp(values)
    return scaled, sitk.GetArrayFromImage(cut_out(organ, box)) > 0


def share_of_volume(image: np.ndarray, organ: np.ndarray) -> float:
    return float(organ.mean())


def mean_of_organ(image: np.ndarray, organ: np.ndarray) -> float:
    return float(image[organ].mean())


def mean_of_rest(image: np.ndarray, organ: np.ndarray) -> float:
    return float(image[~organ].mean())


def percentile_99(image: np.ndarray, organ: np.ndarray) -> float:
    return float(np.percentile(image, 99))
