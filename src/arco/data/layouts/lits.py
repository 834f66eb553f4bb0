"""The layout of the Liver Tumor Segmentation challenge (LiTS 2017; Bilic et al., MedIA 2023).

    Training Batch 1/volume-0.nii           CT in Hounsfield units, int16, float32 or float64
                     segmentation-0.nii     labels: 1 liver, 2 lesion
                     ...                    up to 27
    Training Batch 2/volume-28.nii          up to 130
                     segmentation-28.nii

The folders may have other names (`Training_Batch1`; copies of the download also keep label maps in
a folder of their own), lie within further ones (the archives unpack into `media/nas/...`), or be
missing, with all files side by side. Files may be compressed. A volume
and its label map belong together by their number, and a number is one case and one patient, however
often its files lie about. Cases that lack a file are left out with a warning. The test volumes,
`test-volume-0.nii`, have no public labels and are no cases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from arco.data.cases import RawCase, in_order
from arco.data.lookup import first_nifti, folders_below, warn_incomplete
from arco.errors import ArcoError

DOWNLOAD = (
    "Register at https://competitions.codalab.org/competitions/17094, join the competition and "
    "download Training_Batch1.zip and Training_Batch2.zip (15 GB, unpacked 54 GB). The folder must "
    "hold volume-0.nii ... volume-130.nii and segmentation-0.nii ... segmentation-130.nii, in "
    "'Training Batch 1' and 'Training Batch 2', in other folders or in none; .nii.gz is fine."
)

SUBSETS = ("training",)

EXPECTED_CASES = {"training": 131}
EXPECTED_PATIENTS = {"training": [f"lits_{number:03d}" for number in range(131)]}
"""What the complete download holds."""

_FILE = re.compile(r"(?:volume|segmentation)-(0|[1-9]\d*)\.nii(?:\.gz)?")


def find_cases(root: Path, subsets: Sequence[str] = SUBSETS) -> list[RawCase]:
    """The cases that have a volume and a label map, sorted by number.

    Args:
        root: a folder that holds the files, however deep.
        subsets: only `training` has labels in this layout.

    Raises:
        ArcoError: another subset is asked for; no case is complete.
    """
    for subset in subsets:
        if subset not in SUBSETS:
            raise ArcoError(f"layout lits has no labeled subset {subset!r}; choose training")
    folders = folders_below(root)
    cases: list[RawCase] = []
    missing: dict[str, Path] = {}
    for number in _numbers(folders):
        name = f"lits_{number:03d}"
        volume = first_nifti(folders, f"volume-{number}")
        label = first_nifti(folders, f"segmentation-{number}")
        if volume is not None and label is not None:
            cases.append(RawCase(name, name, (volume,), label))
        elif volume is not None:
            missing[name] = volume.with_name(f"segmentation-{number}.nii")
        elif label is not None:
            missing[name] = label.with_name(f"volume-{number}.nii")
    warn_incomplete(root, missing, len(cases))
    if not cases:
        hint = f"{next(iter(missing.values()))} is missing" if missing else "there is none"
        raise ArcoError(
            f"{root} holds no pair of volume-0.nii and segmentation-0.nii ({hint}); set the "
            "dataset's root to the folder that holds 'Training Batch 1', or download it first "
            "(`arco doctor` tells how)"
        )
    return in_order(cases)


def _numbers(folders: Sequence[Path]) -> list[int]:
    """The numbers of all cases of which there is a file."""
    names = (path.name for folder in folders if folder.is_dir() for path in folder.iterdir())
    return sorted({int(match[1]) for match in map(_FILE.fullmatch, names) if match})
