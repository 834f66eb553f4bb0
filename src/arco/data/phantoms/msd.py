"""Synthetic hippocampi in the layout of `arco.data.layouts.msd`, modeled on its Task 04.

As in the original, shapes, data types and intensity ranges differ from case to case (maxima from
about 100 to a million), a few labels are stored as float, and the numbering has gaps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from arco import files
from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import distort, make_grid, texture
from arco.data.anatomy.temporal_lobe import draw_hippocampus, draw_tissues, paint_temporal_lobe
from arco.data.phantom_files import phantom_writer, write_nifti


def _file_name(number: int) -> str:
    """Of one patient; numbers have gaps, as in the original."""
    return f"hippocampus_{3 * (number - 1) // 2 + 1:03d}.nii.gz"


def _write_patient(root: Path, number: int, rng: np.random.Generator) -> None:
    """Image and label map of one patient."""
    image, label = _draw_case(rng)
    for folder, array in (("imagesTr", image), ("labelsTr", label)):
        (root / folder).mkdir(exist_ok=True)
        write_nifti(root / folder / _file_name(number), array, _AFFINE)


def _write_rest(root: Path, patients: int) -> None:
    """The description, and what macOS leaves in archives; no reader may take that for a case."""
    names = [_file_name(number) for number in range(1, patients + 1)]
    (root / "imagesTr" / f"._{names[0]}").write_bytes(b"Mac OS X")
    (root / "labelsTr" / f"._{names[0]}").write_bytes(b"Mac OS X")
    files.write_json(root / "dataset.json", _description(names))


_AFFINE = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
"""The original's: 1 mm voxels, axis codes RAS."""


def _draw_case(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """Image and label map of one case."""
    width, depth, height = rng.integers((32, 44, 31), (41, 57, 42)).tolist()
    grid = make_grid((width, depth, height), (1.0, 1.0, 1.0))
    grid = distort(grid, rng, amplitude_mm=0.9, wavelength_mm=(11, 35))
    hippocampus, tissues = draw_hippocampus(rng), draw_tissues(rng)
    signal = np.full(grid.shape, tissues["white"], dtype=np.float32)
    paint_temporal_lobe(hippocampus, signal, tissues, grid, rng)
    signal *= 1 + np.float32(0.06) * texture(grid, rng, 1.2)
    image = _draw_scanner(rng).image(signal, grid, rng)
    label = hippocampus.label(grid)
    return image, label.astype(np.float32) if rng.random() < 0.1 else label


def _draw_scanner(rng: np.random.Generator) -> Scanner:
    """A scanner for one case: a fifth store bytes, the others floats of any range."""
    stores_bytes = rng.random() < 0.2
    lowest, highest = (110.0, 220.0) if stores_bytes else (100.0, 1e6)
    blur = rng.uniform(0.4, 0.7)
    return Scanner(
        dtype=np.uint8 if stores_bytes else np.float32,
        maximum=float(np.exp(rng.uniform(np.log(lowest), np.log(highest)))),
        gamma=rng.uniform(0.8, 1.3),
        blur=(blur, blur, blur),
        noise=rng.uniform(0.02, 0.05),
        tilt=(rng.normal(0, 0.1), rng.normal(0, 0.1), rng.normal(0, 0.1)),
        shading=rng.uniform(-0.15, 0.1),
    )


def _description(names: list[str]) -> dict[str, object]:
    """The content of dataset.json, with the keys of the original."""
    return {
        "name": "Hippocampus phantoms",
        "description": "Synthetic hippocampus, anterior and posterior part",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": len(names),
        "numTest": 0,
        "training": [
            {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names
        ],
        "test": [],
    }


write_phantoms = phantom_writer(_write_patient, _write_rest)
