"""Random sub-volumes of volumes, padded where a volume is smaller. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import numpy as np


def first_voxels(
    shape: Sequence[int], size: Sequence[int], unit: Sequence[float]
) -> tuple[int, ...]:
    """Where a patch starts.

    Args:
        shape: of the volume.
        size: of the patch.
        unit: a random number in [0, 1) for each axis.

    Returns:
        The first voxel along each axis; negative where the volume is shorter than the patch, which
        then holds it in its middle.
    """
    return tuple(
        int(number * (length - extent + 1)) if length >= extent else -((extent - length) // 2)
        for length, extent, number in zip(shape, size, unit, strict=True)
    )


def cut(volume: np.ndarray, first: Sequence[int], size: Sequence[int], fill: float) -> np.ndarray:
    """A copy of a patch; what lies outside the volume is `fill`.

    Args:
        volume: [..., *S], may be memory-mapped.
        first: the first voxel of the patch along each of the S axes.
        size: of the patch along these axes.
        fill: value of voxels outside the volume.
    """
    leading = volume.ndim - len(size)
    patch = np.full((*volume.shape[:leading], *size), fill, dtype=volume.dtype)
    here: list[slice | EllipsisType] = [...]
    there: list[slice | EllipsisType] = [...]
    for start, extent, length in zip(first, size, volume.shape[leading:], strict=True):
        low, high = max(0, start), min(length, start + extent)
        there.append(slice(low, high))
        here.append(slice(low - start, high - start))
    patch[tuple(here)] = volume[tuple(there)]
    return patch
