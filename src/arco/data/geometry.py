"""Scans in space: reading them, turning and resizing them for the network, and the way back.

Arrays are [Z, H, W]: the reverse of the axis order x, y, z in which files and `Geometry` count.
"""

# SimpleITK is typed, but only in part.
# mypy: untyped-calls-exclude=SimpleITK

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from arco import files
from arco.data.manifest import Geometry
from arco.data.nifti import check_nifti
from arco.errors import ArcoError

CANONICAL = "LPS"
_AXIS_OF = {"R": "L", "L": "L", "A": "P", "P": "P", "I": "S", "S": "S"}


def read_scan(path: Path, *, labels: bool = False) -> sitk.Image:
    """A 3D scan: float32, or of the file's own type for labels.

    Raises:
        ArcoError: the file is missing, cut short, not an image, not a 3D scalar one, holds NaN,
            or its axes are not at right angles.
    """
    if not path.is_file():
        raise ArcoError(f"{path} is missing; restore it from the download")
    if path.suffix == ".h5":
        return _hdf5(path, labels)
    if path.name.endswith((".nii", ".nii.gz")):
        check_nifti(path)
    try:
        with _quiet():
            image = sitk.ReadImage(str(path), sitk.sitkUnknown if labels else sitk.sitkFloat32)
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise ArcoError(
                f"{path} has axes that are not at right angles; resample it to an unsheared grid"
            ) from error
        raise ArcoError(
            f"{path} cannot be read as an image; restore it from the download"
        ) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ArcoError(
            f"{path} is not a 3D image of single values (its size is "
            f"{' x '.join(map(str, image.GetSize()))}); split it into one 3D file per channel"
        )
    return image


def geometry_of(image: sitk.Image) -> Geometry:
    """The grid of a scan."""
    direction = image.GetDirection()
    return Geometry(
        size=image.GetSize(),
        spacing_mm=image.GetSpacing(),
        origin_mm=image.GetOrigin(),
        direction=direction,
        orientation=sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction),
    )


def placed(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """An array over (z, y, x) as an image on the grid `geometry`."""
    image = sitk.GetImageFromArray(array)
    _place(image, geometry)
    return image


def displacement(first: Geometry, second: Geometry) -> float:
    """How far apart two grids of equal size lie.

    Returns:
        The longest way between corresponding corners, in voxels of `first` (its finest axis).

    Raises:
        ValueError: the sizes differ.
    """
    if first.size != second.size:
        raise ValueError(f"grids of sizes {first.size} and {second.size} cannot be compared")
    corners = np.array(list(product(*((0, length - 1) for length in first.size))))
    moved = _positions(first, corners) - _positions(second, corners)
    return float(np.linalg.norm(moved, axis=1).max() / min(first.spacing_mm))


def canonical_orientation(orientation: str, *, sliced: bool) -> str:
    """The orientation a scan is turned to: every axis points to the left, posterior or superior.

    Volumes become LPS. Scans that are cut into slices keep the file's last axis last, so that
    slices stay those that were acquired (short-axis, sagittal, ...) even when thick or oblique;
    axial ones become LPS too.
    """
    if not sliced:
        return CANONICAL
    last = _AXIS_OF[orientation[-1]]
    return CANONICAL.replace(last, "") + last


def to_prepared(
    image: sitk.Image,
    image_size: Sequence[int] | None,
    spacing_mm: Sequence[float] | None = None,
    *,
    nearest: bool = False,
) -> np.ndarray:
    """A scan on the grid the network sees.

    Args:
        image: the scan.
        image_size: (H, W) of the slices, which then cover the same physical extent as before;
            None keeps the volume whole.
        spacing_mm: (z, y, x) that a whole volume is resampled to, as far as the same extent allows
            a whole number of voxels; None keeps every voxel.
        nearest: nearest neighbour instead of linear interpolation (label maps).

    Returns:
        [Z, H, W], in the canonical orientation, of the scan's type.
    """
    canonical = _canonical(image, image_size)
    grid = _resized(geometry_of(canonical), image_size, spacing_mm)
    if grid.size != canonical.GetSize():
        canonical = sitk.Resample(
            canonical,
            grid.size,
            sitk.Transform(),
            sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
            grid.origin_mm,
            grid.spacing_mm,
            grid.direction,
        )
    return sitk.GetArrayFromImage(canonical)


def to_native(
    labels: np.ndarray,
    geometry: Geometry,
    image_size: Sequence[int] | None,
    spacing_mm: Sequence[float] | None = None,
    region: Geometry | None = None,
) -> np.ndarray:
    """Class indices carried from the prepared grid back to the scan's own.

    Args:
        labels: [Z, H, W] integers, as `to_prepared` lays them out.
        geometry: the native grid.
        image_size: what `to_prepared` was given.
        spacing_mm: what `to_prepared` was given.
        region: the part of the scan that was prepared, in canonical orientation; None: all of it,
            turned as `to_prepared` turns the file.

    Returns:
        Array over (z, y, x) of the native file, of the same type; each voxel takes the class of
        the prepared pixel it lies in, and background (0) outside `region`.
    """
    native = sitk.Image(geometry.size, sitk.sitkUInt8)
    _place(native, geometry)
    whole = region or geometry_of(_canonical(native, image_size))
    grid = _resized(whole, image_size, spacing_mm)
    if labels.shape != grid.size[::-1]:
        raise ValueError(f"labels of shape {labels.shape} do not fit a grid of {grid.size[::-1]}")
    prepared = placed(labels, grid)
    carried = sitk.Resample(prepared, native, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(carried)


def write_labels(path: Path, labels: np.ndarray, geometry: Geometry) -> None:
    """Write class indices over (z, y, x) of a native grid as a NIfTI file with that geometry.

    Raises:
        ArcoError: the file system refuses.
    """
    with files.atomic(path) as temporary:
        try:
            sitk.WriteImage(placed(labels, geometry), str(temporary), useCompression=True)
        except RuntimeError as error:
            raise ArcoError(
                f"cannot write {path}; free some space or choose a writable folder"
            ) from error


def turned(image: sitk.Image, orientation: str = CANONICAL) -> sitk.Image:
    """The scan with its axes swapped and reversed to run as `orientation`; nothing is resampled.

    An oblique scan stays oblique. Where the axes run so already, it is the scan itself.
    """
    if geometry_of(image).orientation == orientation:
        return image
    other: sitk.Image = sitk.DICOMOrient(image, orientation)
    return other


def _canonical(image: sitk.Image, image_size: Sequence[int] | None) -> sitk.Image:
    orientation = geometry_of(image).orientation
    return turned(image, canonical_orientation(orientation, sliced=image_size is not None))


def _resized(
    geometry: Geometry, image_size: Sequence[int] | None, spacing_mm: Sequence[float] | None
) -> Geometry:
    """A grid with the same physical extent, pixel edges included, and other numbers of pixels."""
    old_spacing = np.array(geometry.spacing_mm)
    if image_size is not None:
        height, width = image_size
        size = np.array([width, height, geometry.size[2]])
    elif spacing_mm is not None:
        wanted = np.array(spacing_mm)[::-1]
        size = np.rint(np.array(geometry.size) * old_spacing / wanted).astype(int).clip(1)
    else:
        return geometry
    spacing = old_spacing * np.array(geometry.size) / size
    axes = np.array(geometry.direction).reshape(3, 3)
    origin = np.array(geometry.origin_mm) + axes @ (spacing - old_spacing) / 2
    return Geometry(
        tuple(size.tolist()),
        tuple(spacing.tolist()),
        tuple(origin.tolist()),
        geometry.direction,
        geometry.orientation,
    )


def _place(image: sitk.Image, geometry: Geometry) -> None:
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)


def _positions(geometry: Geometry, indices: np.ndarray) -> np.ndarray:
    """Where voxels [n, 3] (x, y, z) lie, in millimetres [n, 3]."""
    axes = np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing_mm)
    return np.asarray(indices @ axes.T + np.array(geometry.origin_mm))


def _hdf5(path: Path, labels: bool) -> sitk.Image:
    # Here, because only who reads such files needs h5py.
    from arco.data.hdf5 import read_hdf5

    return read_hdf5(path, labels=labels)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ITK from writing to stderr about header fields: what matters is checked here."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
