"""Writing synthetic datasets: a folder that is whole or absent, and NIfTI files in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from arco import files
from arco.errors import ArcoError

MARKER = "PHANTOM.txt"
"""The file that tells a synthetic dataset from a download."""


@contextmanager
def phantom_folder(out: Path, patients: int, seed: int) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `out` when the block ends well.

    An older synthetic dataset at `out` is replaced, anything else there is left alone.

    Raises:
        ArcoError: `patients` is below 1, `out` holds other files, or nothing can be written.
    """
    if patients < 1:
        raise ArcoError(f"the number of synthetic patients must be at least 1, not {patients}")
    occupied = out.is_file() or (out.is_dir() and any(out.iterdir()))
    if occupied and not (out / MARKER).is_file():
        raise ArcoError(f"{out} holds files that are no phantoms; choose another folder")
    with files.atomic(out) as temporary:
        temporary.mkdir()
        note = f"Synthetic data: {patients} patients from seed {seed}. Nobody was scanned.\n"
        (temporary / MARKER).write_text(note, encoding="utf-8")
        yield temporary


def patient_generator(seed: int, patient: int) -> np.random.Generator:
    """The random numbers of one patient, whatever the number of patients beside."""
    return np.random.default_rng(np.random.SeedSequence([seed, patient]))


def phantom_writer(
    write_patient: Callable[[Path, int, np.random.Generator], None],
    write_rest: Callable[[Path, int], None] | None = None,
) -> Callable[..., None]:
    """The function `write_phantoms` of a layout.

    Args:
        write_patient: writes the files of one patient below the folder of the dataset, given that
            folder, the patient's number from 1 on, and the patient's random numbers.
        write_rest: writes what else belongs to the dataset, given its folder and the number of
            patients: descriptions, and strays that no reader may take for a case.
    """

    def write_phantoms(
        out: Path, patients: int, seed: int, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Write `patients` synthetic patients below `out`.

        Args:
            out: folder of the dataset; replaced if it holds phantoms.
            patients: how many. Patient k is the same however many are written.
            seed: of all random numbers; equal seeds give equal bytes.
            progress: called with the patients done and `patients`, after each.

        Raises:
            ArcoError: see `phantom_folder`.
        """
        with phantom_folder(out, patients, seed) as root:
            for number in range(1, patients + 1):
                write_patient(root, number, patient_generator(seed, number))
                if progress is not None:
                    progress(number, patients)
            if write_rest is not None:
                write_rest(root, patients)

    return write_phantoms


def write_nifti(
    path: Path, array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]
) -> None:
    """Write a NIfTI file; equal arrays give equal bytes (no time goes into the gzip header)."""
    image = nib.Nifti1Image(array, affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    nib.save(image, path)


def turned(
    array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64], codes: str
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.float64]]:
    """The same scan stored with axes that point elsewhere.

    Args:
        array: [x, y, z].
        affine: from its indices to RAS+ coordinates in mm.
        codes: where the axes shall point, such as `LAS`.
    """
    orientations: Any = nib.orientations  # untyped
    change = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(codes)
    )
    moved = affine @ orientations.inv_ornt_aff(change, array.shape)
    return np.ascontiguousarray(orientations.apply_orientation(array, change)), moved
