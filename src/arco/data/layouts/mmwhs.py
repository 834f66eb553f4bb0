"""The layout of the Multi-Modality Whole Heart Segmentation challenge (MM-WHS, MICCAI 2017).

    mr_train/mr_train_1001_image.nii.gz     an MR scan, int16 or the like
             mr_train_1001_label.nii.gz     values 500, 600, 420, 550, 205, 820, 850; see below
    ct_train/ct_train_1001_image.nii.gz     the same of CT scans, of other patients
             ct_train_1001_label.nii.gz
    mr_test/mr_test_2001_image.nii.gz       without public labels: no cases

The folders may lie in `MM-WHS 2017 Dataset`, as the download unpacks, or in any others, or be
missing, with all files side by side; label maps may lie in a folder of their own. A scan is a case
and a patient, `mr_train_1001`. Scans that lack a file are left out with a warning.

The scans of one modality lie in different ways in their files (sagittal, coronal, oblique, ...),
so slices of them show one plane only if the dataset's entry says `slices: axial`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from arco.data.cases import RawCase, in_order
from arco.data.lookup import first_nifti, folders_below, warn_incomplete
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
EXPECTED_PATIENTS = {
    subset: [f"{prefix}_{number}" for number in range(1001, 1021)]
    for subset, prefix in SUBSETS.items()
}
"""What the complete download holds."""


def find_cases(root: Path, subsets: Sequence[str] = ("mr",)) -> list[RawCase]:
    """One case per scan, sorted by name.

    Args:
        root: a folder that holds the files, however deep.
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
    folders = folders_below(root)
    cases: list[RawCase] = []
    missing: dict[str, Path] = {}
    for name in _names(folders, prefix):
        image, label = (first_nifti(folders, f"{name}_{part}") for part in ("image", "label"))
        if image is not None and label is not None:
            cases.append(RawCase(name, name, (image,), label))
        elif image is not None:
            missing[name] = image.with_name(f"{name}_label.nii.gz")
        elif label is not None:
            missing[name] = label.with_name(f"{name}_image.nii.gz")
    warn_incomplete(root, missing, len(cases))
    if not cases:
        lacking = next(iter(missing.values()))
        raise ArcoError(f"{root} holds no complete case: {lacking} is missing; restore it")
    return cases


def _names(folders: Sequence[Path], prefix: str) -> list[str]:
    """The names of a modality's scans of which there is a file, sorted; the root comes last."""
    pattern = re.compile(rf"({prefix}_\d+)_(?:image|label)\.nii(?:\.gz)?")
    files = (path.name for folder in folders for path in folder.glob(f"{prefix}_*"))
    names = {match[1] for match in map(pattern.fullmatch, files) if match}
    if not names:
        raise ArcoError(
            f"{folders[-1]} and its folders hold no {prefix}_1001_image.nii.gz; set the dataset's "
            f"root to the folder that holds {prefix}/, or download it first (`arco doctor` tells "
            "how)"
        )
    return sorted(names)
