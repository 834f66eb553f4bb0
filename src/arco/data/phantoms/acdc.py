"""Synthetic hearts in the layout of `arco.data.layouts.acdc`.

Everything a reader meets in the original is here: unequal shapes and spacings, a data type per
patient, an end-systolic frame of its own per patient, and files that are no cases. Only the cine
sequence `patient001_4d.nii.gz` is left out, which no reader needs.

The field of view is about 115 mm wide, a third of the original's, so that the ventricles keep a
useful size in the small images of a demonstration.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.heart import GROUPS, draw_heart, paint_heart
from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import Grid, distort, make_grid, paint_all, texture
from arco.data.anatomy.thorax import draw_thorax, draw_tissues
from arco.data.phantom_files import phantom_writer, write_nifti

_STORED = ((np.int16, 300.0, 2000.0), (np.float32, 80.0, 4000.0), (np.uint8, 110.0, 230.0))
"""Data types of images, with the range of their brightest tissue."""


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """Info.cfg and the scans of one patient at end-diastole and end-systole."""
    folder = root / "training" / f"patient{number:03d}"
    folder.mkdir(parents=True)
    group = str(rng.choice(GROUPS))
    grid, affine = _draw_geometry(rng)
    heart = draw_heart(rng, group, grid.shape[2] * grid.spacing_mm[2] * rng.uniform(0.92, 1.04))
    thorax, tissues, scanner = draw_thorax(rng), draw_tissues(rng), _draw_scanner(rng)
    diastole = 1 if rng.random() < 0.9 else int(rng.integers(2, 5))
    frames = {"ED": diastole, "ES": diastole + int(rng.integers(6, 13))}
    _write_info(folder, rng, group, frames)
    around = np.full(grid.shape, tissues["air"], dtype=np.float32)
    paint_all(around, thorax, tissues, grid)
    for phase, frame in frames.items():
        signal = around.copy()
        label = paint_heart(heart, signal, tissues, grid, phase)
        signal *= 1 + np.float32(0.07) * texture(grid, rng, 2.0)
        stem = f"{folder.name}_frame{frame:02d}"
        write_nifti(folder / f"{stem}.nii.gz", scanner.image(signal, grid, rng), affine)
        write_nifti(folder / f"{stem}_gt.nii.gz", label, affine)


def _draw_geometry(rng: np.random.Generator) -> tuple[Grid, npt.NDArray[np.float64]]:
    """Voxel positions in the patient, and the affine of the files (axis codes LPS)."""
    pixel_mm = float(np.float32(rng.uniform(1.1, 1.5)))
    width, height = np.rint(rng.uniform(106, 124, size=2) / pixel_mm).astype(int).tolist()
    slices = int(rng.integers(6, 11))
    slice_mm = float(np.clip(rng.uniform(58, 80) / slices, 5, 10).round(1))
    grid = make_grid((width, height, slices), (pixel_mm, pixel_mm, slice_mm))
    grid = distort(grid, rng, amplitude_mm=1.3, wavelength_mm=(35, 90), axes=2)
    breath_mm = rng.normal(0, 0.8, size=(2, 1, 1, slices)).astype(np.float32)
    grid.position_mm[:2] += breath_mm  # each slice is taken in another breath-hold
    affine = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    affine[:3, 3] = rng.uniform((60, 40, -90), (160, 150, 40)).round(3)
    return grid, affine


def _draw_scanner(rng: np.random.Generator) -> Scanner:
    """A scanner for one patient."""
    blur = rng.uniform(0.3, 0.8)
    dtype, lowest, highest = _STORED[rng.integers(len(_STORED))]
    return Scanner(
        dtype=dtype,
        maximum=float(np.exp(rng.uniform(np.log(lowest), np.log(highest)))),
        gamma=rng.uniform(0.75, 1.35),
        blur=(blur, blur, 0.0),
        noise=rng.uniform(0.015, 0.045),
        tilt=(*rng.normal(0, 0.15, size=2).tolist(), rng.normal(0, 0.08)),
        shading=rng.uniform(-0.3, 0.15),
    )


def _write_info(folder: Path, rng: np.random.Generator, group: str, frames: dict[str, int]) -> None:
    """Info.cfg, with the lines and the order of the original."""
    entries = {
        **frames,
        "Group": group,
        "Height": round(rng.uniform(150, 195), 1),
        "NbFrame": frames["ES"] + int(rng.integers(8, 18)),
        "Weight": round(rng.uniform(48, 115), 1),
    }
    text = "".join(f"{key}: {value}\n" for key, value in entries.items())
    (folder / "Info.cfg").write_text(text, encoding="utf-8")


def _write_strays(root: Path, patients: int) -> None:  # noqa: ARG001 (as the others)
    """Files such as copies of the original collect, so that readers prove they pass them by."""
    first = root / "training" / "patient001"
    (first / "patient001.Info.cfg").write_bytes((first / "Info.cfg").read_bytes())
    (root / "training" / ".DS_Store").write_bytes(b"")
    (root / "MANDATORY_CITATION.md").write_text(
        "The original dataset: O. Bernard et al., Deep Learning Techniques for Automatic MRI "
        "Cardiac Multi-Structures Segmentation and Diagnosis, IEEE TMI 37(11), 2018.\n",
        encoding="utf-8",
    )


write_phantoms = phantom_writer(_write_patient, _write_strays)
