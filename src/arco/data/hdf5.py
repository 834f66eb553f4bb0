"""The files `mri_norm2.h5` in which the public code for LA keeps a scan and its label map.

    image    [x, y, z] float32, zero mean and unit variance, cut around the label
    label    [x, y, z] uint8, 1 where the challenge's own mask is 255

They say nothing about space: the challenge's voxel size is assumed, the first voxel lies at the
origin, and the axes point as in the challenge's files. What was cut away is gone, so scores on
these files are scores within a box around the true label.
"""

# SimpleITK is typed, but only in part.
# mypy: untyped-calls-exclude=SimpleITK

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import SimpleITK as sitk

from arco.errors import ArcoError

SPACING_MM = 0.625
NOTE = f"mri_norm2.h5 has no spacing, {SPACING_MM} mm is assumed; it is cut around the label"


def read_hdf5(path: Path, *, labels: bool = False) -> sitk.Image:
    """The scan of such a file as float32, or with `labels` its mask as uint8, 0 and 255.

    Raises:
        ArcoError: the file is damaged, lacks the dataset, or holds something else in it.
    """
    key = "label" if labels else "image"
    try:
        with h5py.File(path, "r") as file:
            array = np.asarray(file[key])
    except KeyError as error:
        raise ArcoError(
            f"{path} has no dataset {key!r}; take mri_norm2.h5 as the public code for LA writes it"
        ) from error
    except OSError as error:
        raise ArcoError(
            f"{path} is no HDF5 file, or cut short; download or copy it again"
        ) from error
    if array.ndim != 3 or array.dtype.kind not in "biuf":
        raise ArcoError(
            f"{path}: {key!r} is {array.dtype} of shape {array.shape}, not a volume of numbers; "
            "take mri_norm2.h5 as the public code for LA writes it"
        )
    if labels:
        array = _challenge_mask(array, path)
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.uint8 if labels else np.float32)
    )
    image.SetSpacing((SPACING_MM,) * 3)
    return image


def _challenge_mask(array: np.ndarray, path: Path) -> np.ndarray:
    """0 and 1 as 0 and 255."""
    if not np.isin(array, (0, 1)).all():
        raise ArcoError(
            f"{path}: 'label' must be 0 and 1 but goes from {array.min():g} to {array.max():g}; "
            "take mri_norm2.h5 as the public code for LA writes it"
        )
    return np.asarray(array * 255, dtype=np.uint8)
