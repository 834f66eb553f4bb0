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

from collections.abc import Sequence
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
    canonical = sitk.DICOMOrient(labels, geometry.CANONICAL)
    shape = canonical.GetSize()[::-1]
    if crop.region == "label":
        where = np.nonzero(sitk.GetArrayViewFromImage(canonical))
        enclosed = [(int(indices.min()), int(indices.max()) + 1) for indices in where]
    else:
        enclosed = [(length // 2, (length + 1) // 2) for length in shape]
    spacing_mm = canonical.GetSpacing()[::-1]
    sides = zip(enclosed, shape, crop.size_mm, crop.margin_mm, spacing_mm, strict=True)
    box = [
        grown(interval, length, None if size is None else round(size / step), round(margin / step))
        for interval, length, size, margin, step in sides
    ]
    return geometry.geometry_of(canonical[tuple(slice(*interval) for interval in reversed(box))])


def grown(interval: Interval, length: int, size: int | None, margin: int) -> Interval:
    """An interval made longer on both sides, as far as the axis goes.

    Args:
        interval: what is enclosed.
        length: voxels of the axis.
        size: voxels the result has at least, before the margin and where the axis allows it; None
            takes the whole axis.
        margin: voxels added on both sides after that.
    """
    if size is None:
        return (0, length)
    first, after = interval
    missing = max(size - (after - first), 0)
    first -= missing // 2 + margin
    after += missing - missing // 2 + margin
    return (max(first, 0), min(after, length))


def cut_out(image: sitk.Image, region: Geometry) -> sitk.Image:
    """The part of a scan that lies in `region`, in canonical orientation."""
    canonical = sitk.DICOMOrient(image, geometry.CANONICAL)
    first = canonical.TransformPhysicalPointToIndex(region.origin_mm)
    part: sitk.Image = sitk.RegionOfInterest(canonical, region.size, first)
    return part


def lost_labels(whole: sitk.Image, part: sitk.Image, names: Sequence[str]) -> list[str]:
    """A note for each class that the box does not hold completely.

    Args:
        whole: class indices of the scan.
        part: those in the box.
        names: of the classes, background first.
    """
    inside, everywhere = (
        np.bincount(sitk.GetArrayViewFromImage(image).ravel(), minlength=len(names))
        for image in (part, whole)
    )
    return [
        f"{100 * (1 - inside[i] / everywhere[i]):.3g} % of class {names[i]} lies outside the crop"
        for i in range(1, len(names))
        if inside[i] < everywhere[i]
    ]
