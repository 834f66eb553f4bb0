"""Sets of phantoms written and read back."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from arco import registry
from arco.data.cases import RawCase


def write(layout: str, out: Path, patients: int, seed: int) -> None:
    registry.load("data/phantoms", layout).write_phantoms(out, patients, seed)


def find(layout: str, root: Path) -> list[RawCase]:
    cases: list[RawCase] = registry.load("data/layouts", layout).find_cases(root)
    return cases


def arrays(case: RawCase) -> tuple[np.ndarray, np.ndarray]:
    assert case.label is not None
    return read(case.images[0]), read(case.label)


def read(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def best_window_dice(histogram: np.ndarray) -> np.ndarray:
    """For each class but the first, the highest Dice of any interval of intensities."""
    below = np.concatenate([np.zeros((len(histogram), 1)), histogram.cumsum(axis=1)], axis=1)
    inside = below[:, None, :] - below[:, :, None]
    window = inside.sum(axis=0)
    dice = 2 * inside / np.maximum(window + histogram.sum(axis=1)[:, None, None], 1)
    return np.asarray(np.triu(dice).max(axis=(1, 2))[1:])
