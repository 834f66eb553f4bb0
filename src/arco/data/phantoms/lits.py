"""Synthetic abdominal CT in the layout of `arco.data.layouts.lits`.

As in the original: uncompressed files in two folders, numbered from 0; axes that point to the left
or right, front or back; int16, some float32 or float64; slices of unequal number and thickness;
-1024 outside the reconstructed circle, metal up to 3071; a tenth of the patients without lesions;
test volumes without label maps.

The field of view holds the whole body, as in the original. It is 288 to 366 mm wide, at pixels of 3
to 4.1 mm instead of 0.55 to 1 mm; slices are 7 to 12 mm thick and reach beyond the liver. So a scan
is small, and a lesion keeps a useful size in small images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from arco.data.anatomy.abdomen import draw_abdomen
from arco.data.anatomy.abdomen_tissues import draw_hounsfield
from arco.data.anatomy.ct_artefacts import BODY_HU, add_metal, add_specks, add_streaks
from arco.data.anatomy.liver import WIDE_LOBES, draw_liver, paint_liver
from arco.data.anatomy.pose import Pose, posed
from arco.data.anatomy.shapes import Grid, Volume, distort, make_grid, texture
from arco.data.anatomy.torso import draw_torso
from arco.data.anatomy.tubes import paint_organs
from arco.data.phantom_files import phantom_writer, turned, write_nifti

FIRST_BATCH = 28
"""Cases of `Training Batch 1`; all others lie in the second."""

LOWEST_HU, HIGHEST_HU = -1024, 3071

_ORIENTATIONS = ("LAS", "RAS", "LPS")

_CENTER_MM = (25.0, -4.0, -14.0)
"""The middle of the field of view in the frame of `arco.data.anatomy.abdomen`: the body's."""

_POSE = Pose(turn_degrees=(3, 3, 4), size=0.04, shift_mm=(9, 8, 12), breath_mm=1.0)


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """Volume and segmentation of one patient; the original counts from 0."""
    index = number - 1
    folder = root / f"Training Batch {1 if index < FIRST_BATCH else 2}"
    folder.mkdir(exist_ok=True)
    image, label, affine = _draw_scan(rng)
    write_nifti(folder / f"volume-{index}.nii", image, affine)
    write_nifti(folder / f"segmentation-{index}.nii", label, affine)


def _write_test_volume(root: Path, patients: int) -> None:  # noqa: ARG001 (as the others)
    """No label map of it was published; no reader may take it for a case."""
    (root / "LITS-Challenge-Test-Data").mkdir()
    (root / "LITS-Challenge-Test-Data" / "test-volume-0.nii").write_bytes(b"")


def _draw_scan(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.float64]]:
    """Image and label map of one patient, as their files store them, and their affine."""
    grid, affine = _draw_geometry(rng)
    abdomen, tissues = draw_abdomen(rng), draw_hounsfield(rng)
    liver = draw_liver(rng, abdomen, WIDE_LOBES)
    signal = np.full(grid.shape, tissues["air"], dtype=np.float32)
    behind = (*abdomen.behind, *draw_torso(rng, abdomen))
    paint_organs([signal], behind, [tissues], grid)
    label = paint_liver(liver, abdomen, [signal], [tissues], grid)
    image = _scanned(signal, grid, rng)
    dtype = str(rng.choice(("int16", "float32", "float64"), p=(0.8, 0.12, 0.08)))
    codes = str(rng.choice(_ORIENTATIONS))
    stored, moved = turned(image.astype(dtype), affine, codes)
    return stored, turned(label, affine, codes)[0], moved


def _draw_geometry(rng: np.random.Generator) -> tuple[Grid, npt.NDArray[np.float64]]:
    """Voxel positions in the patient, and the affine of an array with axes LPS."""
    side = int(rng.integers(90, 98))
    pixel_mm = float(np.float32(rng.uniform(288, 366) / side))
    slices = int(rng.integers(18, 25))
    slice_mm = round(rng.uniform(165, 210) / slices, 1)
    grid = make_grid((side, side, slices), (pixel_mm, pixel_mm, slice_mm))
    grid = distort(grid, rng, amplitude_mm=3.5, wavelength_mm=(70, 180))
    grid = posed(grid, rng, _POSE, _CENTER_MM)
    affine = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    affine[:3, 3] = rng.uniform((110, 110, -900), (170, 170, 500)).round(3)
    return grid, affine


def _scanned(signal: Volume, grid: Grid, rng: np.random.Generator) -> Volume:
    """Whole Hounsfield units of a scan: blur, grain, artefacts, and no data in the corners."""
    blur = rng.uniform(0.35, 0.8)
    values: Volume = ndimage.gaussian_filter(signal, (blur, blur, 0.3))
    values += np.float32(rng.uniform(4, 9)) * texture(grid, rng, 7.0)  # tissue is not uniform
    grain = ndimage.gaussian_filter(
        rng.standard_normal(grid.shape, dtype=np.float32), (0.5, 0.5, 0)
    )
    values += np.float32(rng.uniform(10, 28)) * grain / grain.std()
    if rng.random() < 0.35:
        add_streaks(values, rng, rng.uniform(6, 18))
    if rng.random() < 0.2:
        add_metal(values, rng, HIGHEST_HU)
    add_specks(values, rng, int(rng.integers(0, 4)), HIGHEST_HU)
    _add_table(values, rng)
    x, y = np.meshgrid(*(np.linspace(-1, 1, side) for side in grid.shape[:2]), indexing="ij")
    values[np.hypot(x, y) > rng.uniform(1.0, 1.25)] = LOWEST_HU
    return np.rint(np.clip(values, LOWEST_HU, HIGHEST_HU))


def _add_table(values: Volume, rng: np.random.Generator) -> None:
    """A thin board behind the patient, along all slices, if it is in the field."""
    back = int(np.flatnonzero((values > BODY_HU).any(axis=(0, 2)))[-1])
    board = values[:, back + 1 : back + 3]
    board[board < BODY_HU] += np.float32(rng.uniform(300, 900))


write_phantoms = phantom_writer(_write_patient, _write_test_volume)
