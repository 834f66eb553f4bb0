"""Multi-phase MRI of the liver. The paper's data are in-house; this layout is ours.

    case_001/pre.nii.gz         T1 weighted, before contrast
             arterial.nii.gz    arterial phase
             venous.nii.gz      venous phase
             liver.nii.gz       0 background, 1 liver

All files of a case lie on one grid: phases are registered to each other (in the paper, to the
arterial one) before they come here. Preparation refuses files on different grids, but cannot see
whether anatomy fits. Any spacing and orientation will do. A folder is a case and a patient;
its name is free. Cases that lack a file are left out with a warning, other files are passed by.

The dataset's `subsets` in params.yaml name the phases: which files become channels, in which
order. Other sequences (`delayed.nii.gz`, `in_phase.nii.gz`) need no more than their names there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from arco.data.cases import RawCase, in_order
from arco.data.lookup import case_folders, nifti, warn_incomplete
from arco.errors import ArcoError

DOWNLOAD = (
    "The paper's multi-phase MRI is in-house and cannot be downloaded. To use data of your own, "
    "make a folder per patient with pre.nii.gz, arterial.nii.gz and venous.nii.gz, registered to "
    "each other on one grid, and the mask liver.nii.gz (0 background, 1 liver); "
    "docs/datasets/mpmri.md shows how."
)

PHASES = ("pre", "arterial", "venous")
LABEL = "liver"


def find_cases(root: Path, subsets: Sequence[str] = PHASES) -> list[RawCase]:
    """The cases that have all phases and a label map, sorted by name.

    Args:
        root: the folder that holds a folder per case.
        subsets: the phases, in the order of the channels.

    Raises:
        ArcoError: a phase is named twice, or is the label map; no case is complete.
    """
    if not subsets or len(set(subsets)) < len(subsets) or LABEL in subsets:
        raise ArcoError(
            f"layout mpmri takes the names of phases as subsets, each once and without {LABEL}, "
            f"not {list(subsets)}; correct them in params.yaml"
        )
    cases: list[RawCase] = []
    missing: dict[str, Path] = {}
    for folder in case_folders(root):
        found = {stem: nifti(folder, stem) for stem in (*subsets, LABEL)}
        present = {stem: path for stem, path in found.items() if path is not None}
        absent = [folder / f"{stem}.nii.gz" for stem in found if stem not in present]
        if not absent:
            images = tuple(present[phase] for phase in subsets)
            cases.append(RawCase(folder.name, folder.name, images, present[LABEL]))
        elif present:
            missing[folder.name] = absent[0]
    warn_incomplete(root, missing, len(cases))
    if not cases:
        hint = f"{next(iter(missing.values()))} is missing" if missing else "there is none"
        files = ", ".join(f"{stem}.nii.gz" for stem in (*subsets, LABEL))
        raise ArcoError(
            f"{root} holds no folder with {files} ({hint}); set the dataset's root to the folder "
            "of the cases (`arco doctor` tells how it must look)"
        )
    return in_order(cases)
