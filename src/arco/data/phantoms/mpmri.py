"""Synthetic multi-phase MRI of the liver in the layout of `arco.data.layouts.mpmri`.

Three phases of one anatomy on one grid, as registered scans are: before contrast, arterial and
venous, each with an enhancement, a gain and a noise of its own under the bias field of one coil.
Voxels are isotropic, of 4 mm instead of 1 mm, and the field of view is about 265 mm wide, around
the liver, so that a volume has about 66 x 62 x 40 voxels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arco.data.anatomy.abdomen import draw_abdomen
from arco.data.anatomy.abdomen_tissues import draw_phases
from arco.data.anatomy.liver import draw_liver, paint_liver
from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import Grid, distort, make_grid, texture
from arco.data.anatomy.tubes import paint_organs
from arco.data.phantom_files import phantom_writer, turned, write_nifti

SPACING_MM = 4.0
_ORIENTATIONS = ("LPS", "RAS", "LAS")


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """The phases and the label map of one patient."""
    folder = root / f"case_{number:03d}"
    folder.mkdir()
    grid = _draw_grid(rng)
    abdomen, phases = draw_abdomen(rng), draw_phases(rng)
    liver = draw_liver(rng, abdomen)
    tissues = list(phases.values())
    signals = [np.full(grid.shape, phase["air"], dtype=np.float32) for phase in tissues]
    paint_organs(signals, abdomen.behind, tissues, grid)
    label = paint_liver(liver, abdomen, signals, tissues, grid)
    uneven = 1 + np.float32(0.07) * texture(grid, rng, 4.0)
    affine = np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = rng.uniform((110, 110, -90), (160, 150, 40)).round(3)
    codes = str(rng.choice(_ORIENTATIONS))
    tilt = rng.normal(0, (0.2, 0.28, 0.12))
    shading = rng.uniform(-0.4, 0.1)
    for phase, signal in zip(phases, signals, strict=True):
        scanner = _draw_scanner(rng, (float(tilt[0]), float(tilt[1]), float(tilt[2])), shading)
        image = scanner.image(signal * uneven, grid, rng)
        write_nifti(folder / f"{phase}.nii.gz", *turned(image, affine, codes))
    label = np.where(label > 0, np.uint8(1), np.uint8(0))  # lesions are part of the liver
    write_nifti(folder / "liver.nii.gz", *turned(label, affine, codes))


def _draw_grid(rng: np.random.Generator) -> Grid:
    """Voxel positions in the patient."""
    width, depth, height = rng.integers((63, 58, 36), (69, 64, 43)).tolist()
    grid = make_grid((width, depth, height), (SPACING_MM,) * 3)
    grid = distort(grid, rng, amplitude_mm=3.5, wavelength_mm=(70, 180))
    grid.position_mm[2] += np.float32(rng.normal(-4, 6))
    return grid


def _draw_scanner(
    rng: np.random.Generator, tilt: tuple[float, float, float], shading: float
) -> Scanner:
    """The scanner at one phase; only its coil stays as it was."""
    blur = rng.uniform(0.3, 0.6)
    return Scanner(
        dtype=np.int16,
        maximum=float(rng.uniform(300, 1500)),
        gamma=rng.uniform(0.85, 1.2),
        blur=(blur, blur, blur),
        noise=rng.uniform(0.012, 0.035),
        tilt=tilt,
        shading=shading,
    )


def _write_stray(root: Path, patients: int) -> None:  # noqa: ARG001 (as the others)
    """What a registration leaves beside its results; no reader may stumble over it."""
    (root / "case_001" / "arterial_to_pre.txt").write_text("identity\n", encoding="utf-8")


write_phantoms = phantom_writer(_write_patient, _write_stray)
