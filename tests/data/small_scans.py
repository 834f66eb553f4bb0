"""Scans of a few hundred voxels with unequal sides, and datasets of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.manifest import CaseRecord, Geometry, Manifest
from arco.data.preparation import prepare_dataset

CLASSES = {"background": 0, "rv": 1, "myo": 2, "lv": 3}
SIZE = (14, 10, 6)
SPACING_MM = (1.5, 1.25, 8.0)
SETTINGS = PreparationSettings(CLASSES, (24, 20), None, 1)


def image_of(
    array: np.ndarray, orientation: str = "LPS", origin: tuple[float, ...] = (11.0, -7.0, 3.0)
) -> sitk.Image:
    """An array over (z, y, x) as an image whose axes point to `orientation`."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(origin)
    cosines = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(orientation)
    image.SetDirection(cosines)
    return image


def organ(size: tuple[int, int, int] = SIZE) -> np.ndarray:
    """A label map over (z, y, x): a block of 2 around a block of 3, beside a block of 1."""
    x, y, z = size
    labels = np.zeros((z, y, x), dtype=np.uint8)
    labels[1:-1, 2:-2, x // 3 : -2] = 2
    labels[2:-2, 3:-3, x // 3 + 2 : -4] = 3
    labels[1:-2, 2:-3, 1 : x // 3] = 1
    return labels


def intensities(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """int16 intensities that tell the organs apart, with noise."""
    noise = np.random.default_rng(seed).normal(0, 10, labels.shape)
    return (100.0 + 200 * labels + noise).astype(np.int16)


def write_raw_case(
    root: Path, case: str, patient: str = "", orientation: str = "LPS", seed: int = 0
) -> RawCase:
    """Write image and label of one case; its slices differ, so an order of them shows."""
    labels = organ()
    image, label = root / "images" / f"{case}.nii.gz", root / "labels" / f"{case}.nii.gz"
    for path, array in ((image, intensities(labels, seed)), (label, labels)):
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image_of(array, orientation), str(path))
    return RawCase(case, patient or case, (image,), label)


def write_raw_dataset(root: Path, patients: int = 3, frames: int = 2) -> list[RawCase]:
    """Patients with several cases each."""
    return [
        write_raw_case(root, f"patient{p:03d}_frame{f:02d}", f"patient{p:03d}", seed=10 * p + f)
        for p in range(1, patients + 1)
        for f in range(1, frames + 1)
    ]


def record_of(patient: str, foreground: tuple[int, ...] = (0, 5, 9, 4)) -> CaseRecord:
    """The record of a case nobody prepared."""
    geometry = Geometry(SIZE, SPACING_MM, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()), "LPS")
    shape = (1, len(foreground), 8, 8)
    return CaseRecord(patient, {}, {}, geometry, shape, {}, foreground, ())


def ignore_progress(done: int, total: int) -> None:
    """A report that nobody reads."""


def prepare(
    cases: list[RawCase],
    tmp_path: Path,
    settings: PreparationSettings = SETTINGS,
    workers: int = 1,
    *,
    keep_others: bool = False,
) -> Manifest:
    """Prepare cases below `tmp_path`/raw into `tmp_path`/out."""
    return prepare_dataset(
        cases,
        tmp_path / "raw",
        tmp_path / "out",
        settings,
        source="raw",
        workers=workers,
        report=ignore_progress,
        keep_others=keep_others,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write(path: Path, array: np.ndarray, **where: object) -> None:
    """Write an array as a scan."""
    sitk.WriteImage(image_of(array, **where), str(path))  # type: ignore[arg-type]
