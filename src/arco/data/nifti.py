"""NIfTI files, checked before they are read."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from arco.errors import ArcoError

PART_VOXELS = 2**20
"""Voxels of a file that are checked at a time."""


def check_nifti(path: Path) -> None:
    """Refuse what ITK would hide.

    It fills a file that was cut short with whatever is in memory, and reads NaN and infinity as 0.

    Raises:
        ArcoError: the file is no NIfTI image, cut short, damaged, or holds NaN or infinity.
    """
    try:
        image: Any = nibabel.load(path)  # typed as any file format, without voxels
        stored, count = image.get_data_dtype(), math.prod(image.shape)
        with _decompressed(path) as stream:
            unsound = _count_unsound(stream, stored, count, image.dataobj.offset)
    except (ImageFileError, HeaderDataError) as error:
        raise ArcoError(f"{path} is not a NIfTI image; restore it from the download") from error
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise ArcoError(f"{path} is cut short or damaged; download or copy it again") from error
    if unsound:
        raise ArcoError(
            f"{path} holds {unsound} voxels that are NaN or infinite; replace them or remove the "
            "case"
        )


def _count_unsound(stream: BinaryIO, stored: np.dtype[Any], count: int, offset: int) -> int:
    """How many voxels of a decompressed file are NaN or infinite.

    It is read in parts, as a whole scan may take a gigabyte, and to its end, where the checksum of
    a .gz file is.

    Raises:
        EOFError: it holds fewer than `count` voxels.
    """
    if len(stream.read(offset)) < offset:
        raise EOFError
    unsound, missing = 0, count * stored.itemsize
    while part := stream.read(PART_VOXELS * stored.itemsize):
        voxels = part[:missing]
        missing -= len(voxels)
        if np.issubdtype(stored, np.inexact):
            whole = len(voxels) // stored.itemsize
            values = np.frombuffer(voxels, stored, whole)
            unsound += whole - int(np.count_nonzero(np.isfinite(values)))
    if missing:
        raise EOFError
    return unsound


def _decompressed(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))
