"""Synthetic hearts in the layout of `arco.data.layouts.acdc`.

Everything a reader meets in the original is here: unequal shapes and spacings, a data type per
patient, an end-systolic frame of its own per patient, and files that are no cases. Only the cine
sequence `patient001_4d.nii.gz` is left out, which no reader needs.

The field of view is about 165 mm wide, half of the original's, and the chest is drawn narrow for
the heart, so that all of it is seen and the ventricles keep a useful size in the small images of a
demonstration. Sizes, positions and intensities relative to the image lie in the range of the
original's scans; docs/datasets.md has the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.artefacts import banding, bright_spots, ghost, slice_gains
from arco.data.anatomy.heart import GROUPS, draw_heart, paint_heart
from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import Grid, Volume, distort, make_grid, paint_all, texture, turn
from arco.data.anatomy.thorax import draw_chest_tissues, draw_thorax
from arco.data.phantom_files import phantom_writer, write_nifti

_STORED = ((np.int16, 300.0, 2000.0), (np.float32, 80.0, 4000.0), (np.uint8, 110.0, 200.0))
"""Data types of images, with the range of their brightest voxel, about."""


@dataclass(frozen=True)
class _Scan:
    """How one patient was scanned, but for what `Scanner` says.

    Attributes:
        grid: the positions of the voxels in the patient.
        affine: [4, 4] of the files (axis codes LPS).
        base_mm: z of the heart's base.
        length_mm: of the heart.
    """

    grid: Grid
    affine: npt.NDArray[np.float64]
    base_mm: float
    length_mm: float


@dataclass(frozen=True)
class _Artefacts:
    """What one patient's images show that is not there; see `arco.data.anatomy.artefacts`.

    Attributes:
        bands: [*S] float32, factors of the signal.
        gain_deviation: of the slices' gains, whose logarithms are normal.
        ghost_axis: the phase-encoding direction.
        ghost_shift: distance of the heart's copies, in voxels.
        ghost_strength: signal of the copies, relative to the blood's.
        spots: how many bright spots.
        spot_ratio: of the brightest to the 99th percentile of the image.
    """

    bands: Volume
    gain_deviation: float
    ghost_axis: int
    ghost_shift: int
    ghost_strength: float
    spots: int
    spot_ratio: float


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """Info.cfg and the scans of one patient at end-diastole and end-systole."""
    folder = root / "training" / f"patient{number:03d}"
    folder.mkdir(parents=True)
    group = str(rng.choice(GROUPS))
    scan = _draw_geometry(rng)
    heart = draw_heart(rng, group, scan.base_mm, scan.length_mm)
    thorax, tissues = draw_thorax(rng, scan.base_mm), draw_chest_tissues(rng)
    artefacts = _draw_artefacts(rng, scan.grid)
    scanner = _draw_scanner(rng, artefacts.spot_ratio)
    diastole = 1 if rng.random() < 0.9 else int(rng.integers(2, 5))
    frames = {"ED": diastole, "ES": diastole + int(rng.integers(6, 13))}
    _write_info(folder, rng, group, frames)
    around = np.full(scan.grid.shape, tissues["air"], dtype=np.float32)
    paint_all(around, thorax, tissues, scan.grid)
    for phase, frame in frames.items():
        signal = around.copy()
        label = paint_heart(heart, signal, tissues, scan.grid, phase, rng)
        image = _scanned(signal, label, scan.grid, scanner, artefacts, rng)
        stem = f"{folder.name}_frame{frame:02d}"
        write_nifti(folder / f"{stem}.nii.gz", image, scan.affine)
        write_nifti(folder / f"{stem}_gt.nii.gz", label, scan.affine)


def _scanned(
    signal: Volume,
    label: npt.NDArray[np.uint8],
    grid: Grid,
    scanner: Scanner,
    artefacts: _Artefacts,
    rng: np.random.Generator,
) -> npt.NDArray[np.generic]:
    """[*S], the image that is stored of the signal [*S] and its label map."""
    moving = np.where(label > 0, signal, np.float32(0))
    signal = signal * (1 + np.float32(0.07) * texture(grid, rng, 2.0)) * artefacts.bands
    signal += ghost(moving, artefacts.ghost_axis, artefacts.ghost_shift, artefacts.ghost_strength)
    signal *= slice_gains(grid, rng, artefacts.gain_deviation)
    sensed = scanner.sense(signal, grid, rng)
    return scanner.store(bright_spots(sensed, rng, artefacts.spots, artefacts.spot_ratio))


def _draw_geometry(rng: np.random.Generator) -> _Scan:
    """Where the voxels lie in the patient, and where the heart lies along the slices."""
    quarters = int(rng.choice((0, 1, -1), p=(0.76, 0.12, 0.12)))
    pixel_mm = float(np.float32(rng.uniform(1.6, 1.9)))
    width_mm = rng.uniform(153, 175)
    sides_mm = np.array([width_mm, width_mm * rng.uniform(0.85, 1)])
    width, height = np.rint(np.roll(sides_mm, quarters) / pixel_mm).astype(int).tolist()
    slice_mm = round(rng.uniform(7, 9) if rng.random() < 0.8 else rng.uniform(5, 5.5), 1)
    within = int(np.rint(rng.uniform(58, 80) / slice_mm))
    above, below = (rng.random(2) < (0.1, 0.07)).astype(int).tolist()
    slices = within + above + below
    grid = make_grid((width, height, slices), (pixel_mm, pixel_mm, slice_mm))
    grid = turn(grid, quarters * np.pi / 2 + rng.normal(0, 0.15))
    grid.position_mm[:2] += rng.normal((-4, 0), 12)[:, None, None, None].astype(np.float32)
    grid = distort(grid, rng, amplitude_mm=1.8, wavelength_mm=(45, 120), axes=2)
    breath_mm = rng.normal(0, 1.2, size=(2, 1, 1, slices)).astype(np.float32)
    grid.position_mm[:2] += breath_mm  # each slice is taken in another breath-hold
    affine = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    affine[:3, 3] = rng.uniform((60, 40, -90), (160, 150, 40)).round(3)
    length_mm = within * slice_mm * rng.uniform(0.95, 1.04)
    middle_mm = (above - below) * slice_mm / 2
    return _Scan(grid, affine, middle_mm - length_mm / 2, length_mm)


def _draw_scanner(rng: np.random.Generator, spot_ratio: float) -> Scanner:
    """A scanner for one patient, which leaves room for voxels `spot_ratio` times as bright."""
    blur = rng.uniform(0.3, 0.8)
    dtype, lowest, highest = _STORED[rng.integers(len(_STORED))]
    return Scanner(
        dtype=dtype,
        maximum=float(np.exp(rng.uniform(np.log(lowest), np.log(highest)))) / spot_ratio,
        gamma=rng.uniform(0.75, 1.35),
        blur=(blur, blur, 0.0),
        noise=rng.uniform(0.015, 0.045),
        tilt=(*rng.normal(0, 0.2, size=2).tolist(), rng.normal(0, 0.08)),
        shading=rng.uniform(-0.2, 0.3),
    )


def _draw_artefacts(rng: np.random.Generator, grid: Grid) -> _Artefacts:
    """Artefacts for one patient."""
    return _Artefacts(
        bands=banding(grid, rng, (50, 140), rng.uniform(0, 0.6)),
        gain_deviation=rng.uniform(0.02, 0.12),
        ghost_axis=int(rng.integers(2)),
        ghost_shift=int(rng.integers(18, 45)),
        ghost_strength=rng.uniform(0, 0.06),
        spots=int(rng.integers(2, 12)),
        spot_ratio=1 + float(np.exp(rng.normal(-0.4, 0.85))),
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
