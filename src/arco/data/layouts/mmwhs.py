"""The layout of the Multi-Modality Whole Heart Segmentation challenge (MM-WHS, MICCAI 2017).

    mr_train/mr_train_1001_image.nii.gz     an MR scan, int16 or the like
             mr_train_1001_label.nii.gz     values 500, 600, 420, 550, 205, 820, 850; see below
    ct_train/ct_train_1001_image.nii.gz     the same of CT scans, of other patients
             ct_train_1001_label.nii.gz
    mr_test/mr_test_2001_image.nii.gz       without public labels: no cases

The folders may lie in `MM-WHS 2017 Dataset`, as the download unpacks, or be missing, with all files
side by side. A scan is a case and a patient, `mr_train_1001`. Scans that lack a file are left out
with a warning.

The scans of one modality lie in different ways in their files (sagittal, coronal, oblique, ...),
so slices of them show one plane only if the dataset's entry says `slices: axial`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from arco.data.cases import RawCase, in_order
from arco.data.lookup import nifti, warn_incomplete
from arco.errors import ArcoError

DOWNLOAD = (
    "Register at https://zmiclab.github.io/zxh/0/mmwhs/ and download the training data of MM-WHS "
    "2017. The folder must hold mr_train/mr_train_1001_image.nii.gz, mr_train_1001_label.nii.gz "
    "... 1020, and ct_train/ likewise for the subset ct; 'MM-WHS 2017 Dataset/' in between is "
    "fine, and so are all files in one folder."
)

SUBSETS = {"mr": "mr_train", "ct": "ct_train"}
"""The folder of each modality, which also begins the names of its files."""

EXPECTED_CASES = {"mr": 20, "ct": 20}
"""Cases of the complete download."""

UNPACKED = "MM-WHS 2017 Dataset"


def find_cases(root: Path, subsets: Sequence[str] = ("mr",)) -> list[RawCase]:
    """One case per scan, sorted by name.

    Args:
        root: the folder that holds `mr_train/` or `MM-WHS 2017 Dataset/`, or the files themselves.
        subsets: any of `mr` (20 scans) and `ct` (20 of other patients).

    Raises:
        ArcoError: a subset is unknown, or holds no complete case.
    """
    return in_order(case for subset in subsets for case in _cases(root, subset))


def _cases(root: Path, subset: str) -> list[RawCase]:
    """The complete cases of a subset."""
    if subset not in SUBSETS:
        raise ArcoError(f"layout mmwhs has no subset {subset!r}; choose from {', '.join(SUBSETS)}")
    prefix = SUBSETS[subset]
    folder, names = _scans(root, prefix)
    cases, missing = [], []
    for name in names:
        image, label = (nifti(folder, f"{name}_{part}") for part in ("image", "label"))
        if image is not None and label is not None:
            cases.append(RawCase(name, name, (image,), label))
        else:
            missing.append(folder / f"{name}_{'image' if image is None else 'label'}.nii.gz")
    warn_incomplete(folder, missing, len(cases))
    if not cases:
        raise ArcoError(f"{folder} holds no complete case: {missing[0]} is missing; restore it")
    return cases


def _scans(root: Path, prefix: str) -> tuple[Path, list[str]]:
    """The first folder that holds files of a modality, and the names of its scans, sorted."""
    pattern = re.compile(rf"({prefix}_\d+)_(?:image|label)\.nii(?:\.gz)?")
    for folder in (root / prefix, root / UNPACKED / prefix, root, root / UNPACKED):
        found = map(pattern.fullmatch, (path.name for path in folder.glob(f"{prefix}_*")))
        names = {match[1] for match in found if match}
        if names:
            return folder, sorted(names)
    raise ArcoError(
        f"{root / prefix} holds no {prefix}_1001_image.nii.gz; set the dataset's root to the "
        f"folder that holds {prefix}/, or download it first (`arco doctor` tells how)"
    )
