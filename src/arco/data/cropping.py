"""The part of a volume that is prepared, and what that costs.

Appendix Sec. B crops the scans of LA "at the heart region" and does not say how. The public code
cuts around the label, of test scans too, which tells the network where to look. Here that is one
choice; the default, a fixed part around the middle of the field of view, looks at no label. Scores
are computed on the native grid of the whole scan either way: all outside the part is background.
Loads no torch.
"""

# SimpleITK is typed, but only in part.
# mypy: untyped-calls-exclude=SimpleITK

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from arco.data import geometry
from arco.data.manifest import Geometry

Interval = tuple[int, int]
"""The first voxel and the one after the last."""


@dataclass(frozen=True)
class Crop:
    """Which box of a volume is prepared. Axes z, y, x of the canonical orientation.

    Attributes:
        region: what the box encloses: `center`, the middle of the scan, or `label`, all foreground
            of its label map.
        size_mm: the box is at least as long; None takes the whole axis.
        margin_mm: added on both sides.
    """

    region: str
    size_mm: tuple[float | None, ...]
    margin_mm: tuple[float, ...]


def crop_region(labels: sitk.Image, crop: Crop) -> Geometry:
    """The grid of the box, in canonical orientation.

    Args:
        labels: class indices on the native grid, with some foreground; `center` reads only the
            grid.
        crop: the box.
    """
    canonical = geometry.turned(labels)
    shape = canonical.GetSize()[::-1]
    if crop.region == "label":
        foreground = sitk.GetArrayViewFromImage(canonical) > 0
        enclosed = [_enclosed(np.any(foreground, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    else:
        enclosed = [(length // 2, (length + 1) // 2) for length in shape]
    spacing_mm = canonical.GetSpacing()[::-1]
    sides = zip(enclosed, shape, crop.size_mm, crop.margin_mm, spacing_mm, strict=True)
    box = [
        grown(interval, length, None if size is None else round(size / step), round(margin / step))
        for interval, length, size, margin, step in sides
    ]
    return geometry.geometry_of(canonical[tuple(slice(*interval) for interval in reversed(box))])


def _enclosed(occupied: np.ndarray) -> Interval:
    """From the first to the last of the positions of an axis that are True."""
    indices = np.flatnonzero(occupied)
    return int(indices[0]), int(indices[-1]) + 1


def grown(interval: Interval, length: int, size: int | None, margin: int) -> Interval:
    """An interval made longer on both sides, as far as the axis goes.

    Args:
        interval: what is enclosed.
        length: voxels of the axis.
        size: voxels the result has at least, where the axis is as long; None takes the whole axis.
            Near an end of the axis it grows to the other side instead.
        margin: voxels added on both sides after that, up to the ends of the axis.
    """
    if size is None:
        return (0, length)
    first, after = interval
    size = min(max(size, after - first), length)
    first -= (size - (after - first)) // 2
    first = min(max(first, 0), length - size)
    return (max(first - margin, 0), min(first + size + margin, length))


def cut_out(image: sitk.Image, region: Geometry) -> sitk.Image:
    """The part of a scan that lies in `region`, in canonical orientation."""
    canonical = geometry.turned(image)
    first = canonical.TransformPhysicalPointToIndex(region.origin_mm)
    part: sitk.Image = sitk.RegionOfInterest(canonical, region.size, first)
    return part
