"""One scan and its label map as arrays: every check on their content, then scaling and resampling.

Appendix Sec. B: crop (LA), truncate to an intensity window (CT), scale each scan to [0, 1] by its
own minimum and maximum, resample to the size of the network's images. Before scaling a scan may
also be truncated to percentiles of its own voxels, as prepared arrays of ACDC that are public are.
Deviation: images are interpolated linearly, where the public loaders take the nearest pixel. Loads
no torch.
"""

# SimpleITK is typed, but only in part.
# mypy: untyped-calls-exclude=SimpleITK

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from arco.data import cropping, geometry
from arco.data.label_maps import class_counts
from arco.data.manifest import Geometry
from arco.errors import ArcoError

SAME_GRID_VOXELS = 0.1
"""Headers of one scan may differ by rounding; a shift this small moves no label by a voxel."""

LARGEST_INTENSITY = 1e30
"""Nothing measured is larger, and differences of float32 stay finite below it."""


@dataclass(frozen=True)
class PreparationSettings:
    """What decides the prepared arrays.

    Attributes:
        classes: value in the label files by class name, background first.
        image_size: (H, W) of the slices; None keeps whole volumes.
        intensity_window: (low, high) to truncate to before scaling, in the units of the file
            (Hounsfield units for CT), or None.
        version: raised whenever this code changes what it writes.
        spacing_mm: (z, y, x) that whole volumes are resampled to; None keeps their own.
        crop: the part of whole volumes that is prepared; None: all of it.
        axial: slices run from the feet to the head, however the file's axes lie.
        label_aliases: further values in the label files, and the class value each stands for.
        intensity_percentiles: (low, high) percent of the voxels of each channel, within the crop,
            to truncate to after the window and before scaling; or None.
    """

    classes: Mapping[str, int]
    image_size: tuple[int, int] | None
    intensity_window: tuple[float, float] | None
    version: int
    spacing_mm: tuple[float, float, float] | None = None
    crop: cropping.Crop | None = None
    axial: bool = False
    label_aliases: Mapping[int, int] = field(default_factory=dict)
    intensity_percentiles: tuple[float, float] | None = None


@dataclass(frozen=True)
class Converted:
    """One case as arrays.

    Attributes:
        images: [channels, Z, H, W] float32 in [0, 1].
        labels: [Z, H, W] uint8 class indices.
        truth: uint8 class indices over (z, y, x) of the native grid.
        native: that grid.
        notes: oddities that were accepted.
        region: the part of that grid that images and labels show; None: all of it.
    """

    images: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    native: Geometry
    notes: tuple[str, ...]
    region: Geometry | None = None


def convert(images: Sequence[Path], label: Path, settings: PreparationSettings) -> Converted:
    """Read, check, scale and resample one case.

    Args:
        images: one 3D file per channel, on one grid.
        label: the label map, on the same grid.
        settings: how to prepare.

    Raises:
        ArcoError: a file cannot be used; the message names it and says why.
    """
    scans = [geometry.read_scan(path) for path in images]
    labels = geometry.read_scan(label, labels=True)
    native = geometry.geometry_of(scans[0])
    notes = []
    if set(native.spacing_mm) == {1.0} and not any(native.origin_mm):
        notes.append("the header says 1 mm and no position, as if it were blank: distrust mm")
    for path, scan in zip([*images[1:], label], [*scans[1:], labels], strict=True):
        notes += _check_same_grid(images[0], native, path, geometry.geometry_of(scan))
        scan.CopyInformation(scans[0])
    values, aliases = sitk.GetArrayViewFromImage(labels), settings.label_aliases
    truth, oddities = class_indices(values, settings.classes, label, aliases)
    del values, labels, scan  # as large as a scan
    placed = geometry.placed(truth, native)
    names = list(settings.classes)
    region = None
    if settings.axial:
        # All of the scan, but turned: what carries predictions back has to know.
        scans, placed = [geometry.turned(scan) for scan in scans], geometry.turned(placed)
        region = geometry.geometry_of(placed)
    if settings.crop is not None:
        region = cropping.crop_region(placed, settings.crop)
        scans = [cropping.cut_out(scan, region) for scan in scans]
        placed = cropping.cut_out(placed, region)
    if any(path.suffix == ".h5" for path in images):
        from arco.data import hdf5

        oddities.append(hdf5.NOTE)
    grid = (settings.image_size, settings.spacing_mm)
    channels = []
    for path in images:  # the scans are released one by one
        scan = scaled(scans.pop(0), path, settings.intensity_window, settings.intensity_percentiles)
        channels.append(geometry.to_prepared(scan, *grid))
    prepared = geometry.to_prepared(placed, *grid, nearest=True)
    stages = [truth, sitk.GetArrayViewFromImage(placed), prepared]
    counts = [class_counts(stage, len(names)) for stage in stages]
    notes += [*oddities, *_losses(names, *counts)]
    return Converted(np.stack(channels), prepared, truth, native, tuple(notes), region)


def _losses(
    names: Sequence[str], whole: np.ndarray, cropped: np.ndarray, prepared: np.ndarray
) -> list[str]:
    """A note for each class that cropping cuts or that resizing loses, given their voxels."""
    cut = [
        f"{100 * (1 - cropped[i] / whole[i]):.3g} % of class {name} lies outside the crop"
        for i, name in enumerate(names)
        if i > 0 and cropped[i] < whole[i]
    ]
    lost = [
        f"class {name} is lost by resizing"
        for i, name in enumerate(names)
        if cropped[i] > 0 and prepared[i] == 0
    ]
    return cut + lost


def scaled(
    scan: sitk.Image,
    path: Path,
    window: tuple[float, float] | None,
    percentiles: tuple[float, float] | None = None,
) -> sitk.Image:
    """The scan truncated to the window, then to its percentiles, scaled to [0, 1]; the same grid.

    Raises:
        ArcoError: NaN, infinite or absurdly large voxels; a constant image.
    """
    values = sitk.GetArrayFromImage(scan)
    low, high = values.min(), values.max()  # NaN where any voxel is
    if not -LARGEST_INTENSITY < low <= high < LARGEST_INTENSITY:
        unsound = np.count_nonzero(~(np.abs(values) < LARGEST_INTENSITY))
        raise ArcoError(
            f"{path} holds {unsound} voxels that are NaN, infinite or beyond "
            f"{LARGEST_INTENSITY:g}; replace them or remove the case"
        )
    within = ""
    if window is not None:
        values.clip(*window, out=values)
        within = f" within the intensity window {list(window)}"
    if percentiles is not None:
        values.clip(*np.percentile(values, percentiles).astype(values.dtype), out=values)
        within += f" between the intensity percentiles {list(percentiles)}"
    if within:
        low, high = values.min(), values.max()
    if low == high:
        widen = "widen intensity_percentiles, " if percentiles else ""
        raise ArcoError(
            f"{path} is constant{within}: every voxel is {low:g}; {widen}restore it or remove the "
            "case"
        )
    values -= low
    values /= high - low
    return geometry.placed(values, geometry.geometry_of(scan))


def class_indices(
    values: np.ndarray,
    classes: Mapping[str, int],
    path: Path,
    aliases: Mapping[int, int] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Label values as class indices.

    Args:
        values: label map of any shape and numeric type; floats must hold whole numbers.
        classes: value by class name; the position of a class is its index.
        path: the file, for messages.
        aliases: further values, and the class value that each stands for.

    Returns:
        uint8 indices of the same shape, and notes on what was odd.

    Raises:
        ArcoError: a value that is not whole or of no class, or nothing but background.
    """
    notes = []
    if np.issubdtype(values.dtype, np.floating):
        if not all(np.array_equal(part, np.rint(part)) for part in values):
            raise ArcoError(
                f"{path} holds label values that are not whole numbers; restore it, or resample "
                "it again with nearest neighbours"
            )
        notes.append(f"labels are stored as {values.dtype}")
    aliases = aliases or {}
    known = list(classes.values())
    readable = [*known, *aliases]
    if values.min() < 0 or values.max() > max(readable):
        raise _unknown_values(values, classes, aliases, path)
    table = np.full(max(readable) + 1, len(known), dtype=np.uint8)
    table[known] = np.arange(len(known))
    for alias, value in aliases.items():
        table[alias] = table[value]
        if count := np.count_nonzero(values == alias):
            notes.append(f"{count} voxels of value {alias} are read as {value}")
    indices = np.empty(values.shape, dtype=np.uint8)
    for number, part in enumerate(values):
        indices[number] = table[part.astype(np.intp)]  # slice by slice: eight bytes a voxel
    if indices.max() == len(known):
        raise _unknown_values(values, classes, aliases, path)
    if not indices.any():
        raise ArcoError(
            f"{path} is empty: every voxel is {next(iter(classes))}; restore the label map or "
            "remove the case"
        )
    return indices, notes


def _unknown_values(
    values: np.ndarray, classes: Mapping[str, int], aliases: Mapping[int, int], path: Path
) -> ArcoError:
    unknown = np.setdiff1d(values, [*classes.values(), *aliases])
    shown = ", ".join(f"{value:g}" for value in unknown[:5]) + ", ..." * (len(unknown) > 5)
    known = ", ".join(f"{value} {name}" for name, value in classes.items())
    return ArcoError(
        f"{path} holds label values of no class ({shown}); the classes are {known}: correct the "
        "file or the dataset's classes or label_aliases in params.yaml"
    )


def _check_same_grid(first: Path, expected: Geometry, other: Path, found: Geometry) -> list[str]:
    """A note where two headers differ by rounding; a real difference is refused."""
    if found.size != expected.size:
        sizes = [" x ".join(map(str, size)) for size in (found.size, expected.size)]
        raise ArcoError(
            f"{other} has {sizes[0]} voxels but {first} has {sizes[1]}; restore the one that is "
            "wrong or remove the case"
        )
    shift = geometry.displacement(expected, found)
    if shift > SAME_GRID_VOXELS:
        raise ArcoError(
            f"{other} lies elsewhere in space than {first}, by up to {shift:.3g} voxels; correct "
            "the affine in its header or remove the case"
        )
    return [f"{other.name}: header differs by {shift:.1g} voxels"] if shift > 0 else []
