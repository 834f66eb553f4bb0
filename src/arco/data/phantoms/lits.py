"""Synthetic abdominal CT in the layout of `arco.data.layouts.lits`.

As in the original: uncompressed files in two folders, numbered from 0; axes that point to the left
or right, front or back; int16, some float32 or float64; slices of unequal number and thickness;
-1024 outside the reconstructed circle, metal up to 3071; a tenth of the patients without lesions;
test volumes without label maps.

The field of view is about 265 mm wide, around the liver, at pixels of 2.5 to 2.8 mm instead of
0.55 to 1 mm, and slices are 6 to 9 mm thick, so that a scan is small and a lesion keeps a useful
size in small images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from arco.data.anatomy.abdomen import draw_abdomen
from arco.data.anatomy.abdomen_tissues import draw_hounsfield
from arco.data.anatomy.liver import draw_liver, paint_liver
from arco.data.anatomy.shapes import Grid, Volume, distort, make_grid, texture
from arco.data.anatomy.tubes import paint_organs
from arco.data.phantom_files import phantom_writer, turned, write_nifti

FIRST_BATCH = 28
"""Cases of `Training Batch 1`; all others lie in the second."""

LOWEST_HU, HIGHEST_HU = -1024, 3071

_ORIENTATIONS = ("LAS", "RAS", "LPS")


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
    liver = draw_liver(rng, abdomen)
    signal = np.full(grid.shape, tissues["air"], dtype=np.float32)
    paint_organs([signal], abdomen.behind, [tissues], grid)
    label = paint_liver(liver, abdomen, [signal], [tissues], grid)
    image = _scanned(signal, grid, rng)
    dtype = str(rng.choice(("int16", "float32", "float64"), p=(0.8, 0.12, 0.08)))
    codes = str(rng.choice(_ORIENTATIONS))
    stored, moved = turned(image.astype(dtype), affine, codes)
    return stored, turned(label, affine, codes)[0], moved


def _draw_geometry(rng: np.random.Generator) -> tuple[Grid, npt.NDArray[np.float64]]:
    """Voxel positions in the patient, and the affine of an array with axes LPS."""
    side = int(rng.integers(96, 105))
    pixel_mm = float(np.float32(rng.uniform(259, 271) / side))
    slices = int(rng.integers(16, 23))
    slice_mm = round(rng.uniform(136, 152) / slices, 1)
    grid = make_grid((side, side, slices), (pixel_mm, pixel_mm, slice_mm))
    grid = distort(grid, rng, amplitude_mm=3.5, wavelength_mm=(70, 180))
    grid.position_mm[2] += np.float32(rng.normal(-4, 6))
    affine = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    affine[:3, 3] = rng.uniform((110, 110, -900), (170, 170, 500)).round(3)
    return grid, affine


def _scanned(signal: Volume, grid: Grid, rng: np.random.Generator) -> Volume:
    """Whole Hounsfield units of a scan: blurred, with grain, metal and no data in the corners."""
    blur = rng.uniform(0.35, 0.8)
    values: Volume = ndimage.gaussian_filter(signal, (blur, blur, 0.3))
    values += np.float32(rng.uniform(4, 9)) * texture(grid, rng, 7.0)  # tissue is not uniform
    grain = ndimage.gaussian_filter(
        rng.standard_normal(grid.shape, dtype=np.float32), (0.5, 0.5, 0)
    )
    values += np.float32(rng.uniform(12, 24)) * grain / grain.std()
    x, y = np.meshgrid(*(np.linspace(-1, 1, side) for side in grid.shape[:2]), indexing="ij")
    _add_table(values, y, rng)
    for _ in range(int(rng.integers(0, 4))):  # clips, electrodes, a port
        at = tuple(int(rng.integers(3, side - 3)) for side in grid.shape[:2])
        values[at[0] : at[0] + 2, at[1], int(rng.integers(grid.shape[2]))] = HIGHEST_HU
    values[np.hypot(x, y) > rng.uniform(1.05, 1.3)] = LOWEST_HU
    return np.rint(np.clip(values, LOWEST_HU, HIGHEST_HU))


def _add_table(values: Volume, y: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """A thin board in the air behind the patient, along all slices, if it is in the field."""
    height = rng.uniform(0.9, 1.02)
    board = (np.abs(y - height)[..., None] < 0.015) & (values < -800)
    values[board] += np.float32(rng.uniform(300, 900))


write_phantoms = phantom_writer(_write_patient, _write_test_volume)
