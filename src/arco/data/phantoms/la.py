"""Synthetic left atria in the layout of `arco.data.layouts.la`.

As in the original: two matrix sizes, uint8 images and masks of 0 and 255, isotropic voxels, axes
LPS, random names, a mask of the wall beside that of the cavity, and a file of Windows that is no
data. The field of view is about 160 mm wide, less than half of the original's, at voxels of 1.5 mm
instead of 0.625 mm, so that a scan is small and the atrium keeps a useful size in it.
"""

# SimpleITK is typed, but only in part.
# mypy: untyped-calls-exclude=SimpleITK

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from arco.data.anatomy.atrium import Atrium, draw_atrium, draw_chest, draw_tissues, paint_atrium
from arco.data.anatomy.mr_artefacts import add_bands, add_ghost, add_glints, add_inflow
from arco.data.anatomy.pose import Pose, posed
from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import Grid, Volume, distort, make_grid, texture
from arco.data.anatomy.tubes import paint_organs
from arco.data.phantom_files import phantom_writer

SPACING_MM = 1.5
_SIDES = (104, 112)
_SLICES = 48

_POSE = Pose(turn_degrees=(4, 4, 6), size=0.04, shift_mm=(4, 4, 0))


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """A folder of one patient with the scan and both masks."""
    code = rng.choice([*string.ascii_uppercase, *string.digits], 20)
    folder = root / "Training Set" / "".join(code)
    folder.mkdir(parents=True)
    image, cavity = _draw_scan(rng)
    wall = ndimage.binary_dilation(cavity, iterations=2) & ~cavity.astype(bool)
    origin_mm = rng.uniform(-120, -60, size=3).round(3)
    for name, array in (
        ("lgemri", image),
        ("laendo", 255 * cavity),
        ("lawall", 255 * wall.astype(np.uint8)),
    ):
        _write_nrrd(folder / f"{name}.nrrd", array, origin_mm)
    if number == 1:
        (folder / "desktop.ini").write_text("[ViewState]\r\n", encoding="utf-8")


def _draw_scan(rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Image [x, y, z] and cavity (0, 1) of one patient."""
    side = int(rng.choice(_SIDES))
    grid = make_grid((side, side, _SLICES), (SPACING_MM,) * 3)
    grid = distort(grid, rng, amplitude_mm=1.5, wavelength_mm=(30, 80))
    grid = posed(grid, rng, _POSE, (0, 0, 0))
    atrium, tissues = draw_atrium(rng), draw_tissues(rng)
    signal = np.full(grid.shape, tissues["air"], dtype=np.float32)
    paint_organs([signal], draw_chest(rng, atrium), [tissues], grid)
    cavity = paint_atrium(atrium, signal, tissues, grid, rng)
    signal *= 1 + np.float32(0.08) * texture(grid, rng, 2.5)
    _add_artefacts(signal, atrium, grid, rng)
    image = np.asarray(_draw_scanner(rng).image(signal, grid, rng), dtype=np.float32)
    return _stored(image, rng), cavity


def _add_artefacts(signal: Volume, atrium: Atrium, grid: Grid, rng: np.random.Generator) -> None:
    """Each in a part of the scans: a breathing chest, bands, blood that flows in."""
    if rng.random() < 0.4:
        add_ghost(signal, rng, rng.uniform(0.05, 0.15))
    if rng.random() < 0.4:
        add_bands(signal, grid, rng, rng.uniform(0.05, 0.18))
    if rng.random() < 0.4:
        vein = atrium.veins[int(rng.integers(len(atrium.veins)))]
        add_inflow(signal, grid, np.array(vein.start_mm), rng.uniform(0.2, 0.6))


def _stored(image: Volume, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Bytes that a few voxels decide the scale of: in some scans all else is nearly black."""
    bright = float(np.percentile(image, 99))
    peak = bright / (0.75 - 0.47 * rng.random() ** 1.4)
    add_glints(image, rng, int(rng.integers(2, 7)), peak)
    scale = rng.uniform(170, 255) / image.max()
    stored: npt.NDArray[np.uint8] = np.rint(image * scale).astype(np.uint8)
    return stored


def _draw_scanner(rng: np.random.Generator) -> Scanner:
    """A scanner for one patient; along z the original is interpolated from thicker slices."""
    blur = rng.uniform(0.3, 0.6)
    return Scanner(
        dtype=np.float32,
        maximum=1.0,
        gamma=rng.uniform(0.8, 1.2),
        blur=(blur, blur, blur + 0.3),
        noise=rng.uniform(0.03, 0.07),
        tilt=(rng.normal(0, 0.12), rng.normal(0, 0.2), rng.normal(0, 0.08)),
        shading=rng.uniform(-0.3, 0.1),
    )


def _write_nrrd(
    path: Path, array: npt.NDArray[np.uint8], origin_mm: npt.NDArray[np.float64]
) -> None:
    """Write an array [x, y, z] whose axes point to the left, the back and up."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing((SPACING_MM,) * 3)
    image.SetOrigin(origin_mm.tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


write_phantoms = phantom_writer(_write_patient)
