"""Synthetic whole hearts in the layout of `arco.data.layouts.mmwhs`, MR scans.

As in the original: matrix sizes, data types and intensity ranges differ from patient to patient,
and so does the way a scan lies in its file (axes in any order, reversed, or oblique to the body).
The first patient's label map holds a few voxels of value 421 where 420 is meant.

The field of view is 140 to 205 mm wide. The heart fills as much of it as in the larger half of
real scans, so that seven structures keep a useful size in small images. Voxels are about 2.4 mm
wide and 4.8 to 6.4 mm high, where the original's are about 1 mm in all directions: a scan is small,
and its axial slices stay square.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from arco.data.anatomy.flow import banding, blood_flow
from arco.data.anatomy.mediastinum import draw_surroundings, draw_tissues
from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import Grid, distort, make_grid, texture
from arco.data.anatomy.tubes import paint_organs
from arco.data.anatomy.whole_heart import LABELS, draw_whole_heart, paint_whole_heart
from arco.data.phantom_files import phantom_writer, turned, write_nifti

Array = npt.NDArray[np.generic]
Matrix = npt.NDArray[np.float64]

STRAY = 421
"""A value in label files of the original that means 420, the left atrium."""

_ORIENTATIONS = ("LPS", "RAS", "PIR", "LIP", "ASL", "RSA")
"""Where the axes of a file point: axial, axial reversed, sagittal, coronal, ..."""

_STORED = ((np.int16, 300.0, 2000.0), (np.uint16, 300.0, 4000.0), (np.float32, 80.0, 4000.0))
"""Data types of images, with the range of their brightest tissue."""

_BLOOD = ("blood", "right_blood", "vessel")
"""Tissues that flow."""

_CENTER_MM = (-4.0, 1.0, 9.0)
"""The middle of the field of view, seen from the heart."""


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """Image and label map of one patient; the first holds the odd value of the original."""
    folder = root / "mr_train"
    folder.mkdir(exist_ok=True)
    image, label, affine = _draw_scan(rng, stray=number == 1)
    write_nifti(folder / f"mr_train_{1000 + number}_image.nii.gz", image, affine)
    write_nifti(folder / f"mr_train_{1000 + number}_label.nii.gz", label, affine)


def _write_test_image(root: Path, patients: int) -> None:  # noqa: ARG001 (as the others)
    """No label map of it was published; no reader may take it for a case."""
    (root / "mr_test").mkdir()
    (root / "mr_test" / "mr_test_2001_image.nii.gz").write_bytes(b"")


def _draw_scan(rng: np.random.Generator, *, stray: bool) -> tuple[Array, Array, Matrix]:
    """Image and label map of one patient, as their file stores them, and its affine."""
    grid, affine = _draw_geometry(rng)
    heart, tissues = draw_whole_heart(rng), draw_tissues(rng)
    signal = np.full(grid.shape, tissues["air"], dtype=np.float32)
    blood = np.zeros(grid.shape, dtype=np.float32)
    painted = ([signal, blood], [tissues, {name: float(name in _BLOOD) for name in tissues}])
    paint_organs(painted[0], draw_surroundings(rng, heart), painted[1], grid)
    label = paint_whole_heart(heart, *painted, grid)
    signal *= 1 + blood * (blood_flow(heart, grid, rng) - 1)
    signal *= 1 + np.float32(0.07) * texture(grid, rng, 2.5)
    signal *= banding(grid, rng)
    image = _draw_scanner(rng).image(signal, grid, rng)
    _add_outliers(image, rng)
    if stray:
        atrium = np.flatnonzero(label == LABELS["la"])
        label.flat[rng.choice(atrium, 5, replace=False)] = STRAY
    orientation = str(rng.choice(_ORIENTATIONS))
    image, its_affine = turned(image, affine, orientation)
    return image, turned(label, affine, orientation)[0], its_affine


def _draw_geometry(rng: np.random.Generator) -> tuple[Grid, Matrix]:
    """Voxel positions in the heart's own frame, and the affine of an array along L, P, S.

    The patient lies a little turned in the scanner, which no header tells. Half of the scans are
    oblique to the body besides, which their affines do tell.
    """
    sides_mm = rng.uniform(144, 199) * rng.uniform(0.96, 1.04, size=2)
    pixel_mm = float(np.float32(sides_mm.mean() / rng.uniform(66, 76)))
    width, depth = np.rint(sides_mm / pixel_mm).astype(int).tolist()
    height_mm, slice_mm = rng.uniform(112, 158), round(rng.uniform(4.8, 6.4), 1)
    slices = int(height_mm / slice_mm)
    grid = make_grid((width, depth, slices), (pixel_mm, pixel_mm, slice_mm))
    grid = distort(grid, rng, amplitude_mm=1.5, wavelength_mm=(40, 100))
    pose = Rotation.from_euler("xyz", rng.normal(0, (5, 5, 10)), degrees=True).as_matrix()
    tilt = np.eye(3)
    if rng.random() < 0.5:
        tilt = Rotation.from_euler("xyz", rng.normal(0, 8, size=3), degrees=True).as_matrix()
    scale = np.exp(rng.normal(0, 0.06))
    shift_mm = np.array(_CENTER_MM) + rng.normal(0, (5, 5, 4))
    position_mm = np.tensordot((pose @ tilt / scale).astype(np.float32), grid.position_mm, axes=1)
    position_mm += shift_mm.astype(np.float32).reshape(3, 1, 1, 1)
    affine = np.eye(4)
    # Files count to the right, the front and up.
    affine[:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ tilt @ np.diag(grid.spacing_mm)
    affine[:3, 3] = rng.uniform((60, 40, -90), (160, 150, 40)).round(3)
    return Grid(position_mm, grid.spacing_mm), affine


def _draw_scanner(rng: np.random.Generator) -> Scanner:
    """A scanner for one patient."""
    blur = rng.uniform(0.3, 0.7)
    dtype, lowest, highest = _STORED[rng.integers(len(_STORED))]
    return Scanner(
        dtype=dtype,
        maximum=float(np.exp(rng.uniform(np.log(lowest), np.log(highest)))),
        gamma=rng.uniform(0.7, 1.45),
        blur=(blur, blur, 0.2),
        noise=rng.uniform(0.015, 0.045),
        tilt=(*rng.normal(0, 0.2, size=2).tolist(), rng.normal(0, 0.08)),
        shading=rng.uniform(-0.35, 0.15),
    )


def _add_outliers(image: Array, rng: np.random.Generator) -> None:
    """Make a few of the brightest voxels brighter still, in place.

    Where a scan is scaled by its least and its greatest value, they say how dark the rest becomes.
    """
    values = image.astype(np.float64)
    bright = np.flatnonzero(values >= np.percentile(values, 99))
    chosen = rng.choice(bright, int(rng.integers(2, 10)), replace=False)
    highest = float(values.max()) * np.exp(rng.uniform(0, 1))
    image.flat[chosen] = (highest * rng.uniform(0.8, 1, size=chosen.size)).astype(image.dtype)


write_phantoms = phantom_writer(_write_patient, _write_test_image)
