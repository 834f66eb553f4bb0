"""The layout of the Left Atrial Segmentation Challenge (STACOM 2018; Xiong et al., MedIA 2021).

    Training Set/0RZDK210BSMWAA6467LU/lgemri.nrrd    late gadolinium-enhanced scan, uint8
                                      laendo.nrrd    mask of the left atrium's cavity: 0, 255
                                      lawall.nrrd    mask of its wall; not read, may be absent
    Testing Set/...                                  the same, with the masks published later

The public code for semi-supervised learning distributes the same scans in another form, which is
read where a case's folder holds nothing else (`arco.data.hdf5` tells what is in it):

    2018LA_Seg_Training Set/0RZDK210BSMWAA6467LU/mri_norm2.h5

A case is a folder; its name is the patient. Cases that lack a file are left out with a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from arco.data.cases import RawCase, in_order
from arco.data.lookup import case_folders, warn_incomplete
from arco.errors import ArcoError

DOWNLOAD = (
    "Register at https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data/ and download "
    "2018_UTAH_MICCAI.zip (2.2 GB). The folder must hold 'Training Set' with 100 folders, each "
    "with lgemri.nrrd and laendo.nrrd; a folder in between is fine, and so are folders that hold "
    "mri_norm2.h5 of the public code instead. 'Testing Set' is read only if asked."
)

SUBSETS = {
    "training": ("Training Set", "2018LA_Seg_Training Set", "2018LA_Seg_TrainingSet"),
    "testing": ("Testing Set",),
}
"""The names a subset's folder goes by."""

EXPECTED_CASES = {"training": 100, "testing": 54}
"""Cases of the complete download."""

IMAGE, MASK, CROPPED = "lgemri.nrrd", "laendo.nrrd", "mri_norm2.h5"


def find_cases(root: Path, subsets: Sequence[str] = ("training",)) -> list[RawCase]:
    """One case per patient, sorted by name.

    Args:
        root: the folder that holds `Training Set/`, one that holds a folder with it, or, for
            `training` alone, the folder of the cases itself.
        subsets: any of `training` (100 patients) and `testing` (54).

    Raises:
        ArcoError: a subset is unknown, or holds no complete case; a case is in both.
    """
    return in_order(case for subset in subsets for case in _cases(_parent(root, subset)))


def _parent(root: Path, subset: str) -> Path:
    """The folder of a subset's cases."""
    if subset not in SUBSETS:
        raise ArcoError(f"layout la has no subset {subset!r}; choose from {', '.join(SUBSETS)}")
    places = [root, *case_folders(root)]
    found = [place / name for name in SUBSETS[subset] for place in places]
    for folder in found if subset == "testing" else [*found, root]:
        if any(_holds_case(case) for case in case_folders(folder)):
            return folder
    raise ArcoError(
        f"{found[0]} holds no cases; set the dataset's root to the folder that holds "
        f"'{SUBSETS[subset][0]}', or download it first (`arco doctor` tells how)"
    )


def _holds_case(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (IMAGE, MASK, CROPPED))


def _cases(parent: Path) -> list[RawCase]:
    """The complete cases of a folder."""
    cases: list[RawCase] = []
    missing: dict[str, Path] = {}
    for folder in filter(_holds_case, case_folders(parent)):
        image, mask, cropped = (folder / name for name in (IMAGE, MASK, CROPPED))
        if image.is_file() and mask.is_file():
            cases.append(RawCase(folder.name, folder.name, (image,), mask))
        elif cropped.is_file():
            cases.append(RawCase(folder.name, folder.name, (cropped,), cropped))
        else:
            missing[folder.name] = image if mask.is_file() else mask
    warn_incomplete(parent, missing, len(cases))
    if not cases:
        lacking = next(iter(missing.values()))
        raise ArcoError(f"{parent} holds no complete case: {lacking} is missing; restore it")
    return cases
