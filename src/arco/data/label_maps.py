"""Counting in maps of class indices. Loads no torch."""

from __future__ import annotations

import numpy as np


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """[classes] int64, how many voxels of `labels` [Z, H, W] have each class index."""
    counts = np.zeros(classes, dtype=np.int64)
    # Slice by slice: `np.bincount` makes a copy of eight bytes a voxel.
    for part in labels:
        counts += np.bincount(part.ravel(), minlength=classes)
    return counts
