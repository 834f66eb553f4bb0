"""The layout of the ACDC challenge (MICCAI 2017; Bernard et al., IEEE TMI 2018).

    training/patient001/Info.cfg                        lines `ED: 1`, `ES: 12`, `Group: DCM`, ...
                        patient001_4d.nii.gz            the cine sequence; not read, may be absent
                        patient001_frame01.nii.gz       end-diastolic scan (its number: ED)
                        patient001_frame01_gt.nii.gz    labels: 1 RV, 2 myocardium, 3 LV
                        patient001_frame12.nii.gz       end-systolic scan (its number: ES)
                        patient001_frame12_gt.nii.gz
    testing/patient101/...                              the same

Which two files are the scans is read from Info.cfg, not guessed from the folder, because copies
of the download in circulation also hold uncompressed duplicates, second Info.cfg files and notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from arco import files
from arco.data.cases import RawCase, in_order
from arco.errors import ArcoError

DOWNLOAD = (
    "Register at https://humanheart-project.creatis.insa-lyon.fr/database/ and download the ACDC "
    "collection. The folder must hold training/patient001 ... training/patient100, each with "
    "Info.cfg, patient001_frame01.nii.gz, patient001_frame01_gt.nii.gz and the same two files of "
    "the end-systolic frame; a folder database/ in between is fine. testing/ is read only if asked."
)

SUBSETS = ("training", "testing")
PHASES = ("ED", "ES")
_NUMBERS = {"training": range(1, 101), "testing": range(101, 151)}
EXPECTED_CASES = {subset: 2 * len(numbers) for subset, numbers in _NUMBERS.items()}
EXPECTED_PATIENTS = {
    subset: [f"patient{number:03d}" for number in numbers] for subset, numbers in _NUMBERS.items()
}
"""What the complete download holds."""


def find_cases(root: Path, subsets: Sequence[str] = ("training",)) -> list[RawCase]:
    """Two cases per patient, end-diastole and end-systole, sorted by name.

    Args:
        root: the folder that holds `training/`, or one that holds `database/training/`.
        subsets: any of `training` (100 patients, 200 scans) and `testing` (50, 100).

    Raises:
        ArcoError: a subset is unknown, absent or empty; an Info.cfg is missing or unreadable; a
            scan or its label map is missing.
    """
    folders = [folder for subset in subsets for folder in _patients(root, subset)]
    return in_order(case for folder in folders for case in _scans(folder))


def _patients(root: Path, subset: str) -> list[Path]:
    """The patient folders of a subset."""
    if subset not in SUBSETS:
        raise ArcoError(f"layout acdc has no subset {subset!r}; choose from {', '.join(SUBSETS)}")
    nested = root / "database" / subset
    parent = nested if nested.is_dir() else root / subset
    found = sorted(folder for folder in parent.glob("patient[0-9]*") if folder.is_dir())
    if not found:
        raise ArcoError(
            f"{parent} holds no patient folders; set the dataset's root to the folder that holds "
            f"{subset}/patient..., or download it first (`arco doctor` tells how)"
        )
    return found


def _scans(folder: Path) -> Iterator[RawCase]:
    """The end-diastolic and the end-systolic scan of one patient."""
    for frame in _frames(folder / "Info.cfg"):
        case = f"{folder.name}_frame{frame:02d}"
        image, label = _volume(folder / case), _volume(folder / f"{case}_gt")
        yield RawCase(case, folder.name, (image,), label)


def _frames(info: Path) -> list[int]:
    """The frame numbers of ED and ES that an Info.cfg names."""
    if not info.is_file():
        raise ArcoError(
            f"{info} is missing; it names the ED and ES frames, restore it from the download"
        )
    lines = (line.partition(":") for line in files.read_text(info).splitlines())
    entries = {key.strip(): value.strip() for key, _, value in lines}
    for phase in PHASES:
        if not entries.get(phase, "").isdecimal():
            raise ArcoError(
                f"{info} has no line '{phase}: <frame number>'; restore it from the download"
            )
    frames = [int(entries[phase]) for phase in PHASES]
    if frames[0] == frames[1]:
        raise ArcoError(f"{info} gives ED and ES the same frame {frames[0]}; correct one of them")
    return frames


def _volume(stem: Path) -> Path:
    """The compressed file of that name, or the uncompressed one where it is the only one."""
    candidates = [stem.with_name(stem.name + ending) for ending in (".nii.gz", ".nii")]
    for path in candidates:
        if path.is_file():
            return path
    raise ArcoError(
        f"{candidates[0]} is missing; restore it from the download, or remove its patient's folder"
    )
