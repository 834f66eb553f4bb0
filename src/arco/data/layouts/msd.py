"""The layout of the Medical Segmentation Decathlon, also as nnU-Net (versions 1 and 2) keeps it.

    dataset.json                       see below
    imagesTr/hippocampus_001.nii.gz    one channel; or, as nnU-Net wants it, a file per channel:
             hippocampus_001_0000.nii.gz, hippocampus_001_0001.nii.gz, ...
    labelsTr/hippocampus_001.nii.gz

    {"modality": {"0": "MRI"},                        nnU-Net 2 calls it "channel_names"
     "training": [{"image": "./imagesTr/hippocampus_001.nii.gz",
                   "label": "./labelsTr/hippocampus_001.nii.gz"}, ...],
     "file_ending": ".nii.gz"}                        nnU-Net 2 only

Where the list `training` is absent (nnU-Net 2), the files in labelsTr/ are the cases. Hidden files,
such as the `._hippocampus_001.nii.gz` that macOS puts into archives, are no cases. There is one
case per patient. Label values are the business of the dataset's entry in params.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from arco import files
from arco.data.cases import RawCase, in_order
from arco.errors import ArcoError

DOWNLOAD = (
    "Download a task from http://medicaldecathlon.com (for hippocampus: Task04_Hippocampus.tar; no "
    "registration) and unpack it, or take any raw dataset of nnU-Net. The folder must hold "
    "dataset.json, imagesTr/ and labelsTr/, with a label map of the same name for each image "
    "(images may carry the channel suffixes _0000, _0001, ...)."
)

SUBSETS = ("training",)


def find_cases(root: Path, subsets: Sequence[str] = SUBSETS) -> list[RawCase]:
    """The labeled cases, sorted by name.

    Args:
        root: the folder that holds dataset.json.
        subsets: only `training` has labels in this layout.

    Raises:
        ArcoError: another subset is asked for; dataset.json is missing or lacks a key; a file
            it lists is missing; an image keeps several channels in one 4D file.
    """
    for subset in subsets:
        if subset not in SUBSETS:
            raise ArcoError(f"layout msd has no labeled subset {subset!r}; choose training")
    description = root / "dataset.json"
    if not description.is_file():
        raise ArcoError(
            f"{description} is missing; set the dataset's root to the folder that holds it, or "
            "download it first (`arco doctor` tells how)"
        )
    return in_order(_cases(description))


def _cases(description: Path) -> Iterator[RawCase]:
    """The cases that a dataset.json speaks of."""
    content = files.read_json(description)
    if not isinstance(content, dict):
        raise ArcoError(f"{description} must hold a JSON object; restore it from the download")
    channels = content.get("channel_names", content.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise ArcoError(f"{description} needs 'modality' or 'channel_names', a name per channel")
    ending = str(content.get("file_ending", ".nii.gz"))
    for image, label in _pairs(description, content.get("training"), ending):
        if not label.name.endswith(ending):
            raise ArcoError(
                f"{label} does not end in {ending}; set 'file_ending' in {description} to match"
            )
        if not label.is_file():
            raise ArcoError(f"{label} is missing; restore it, or remove it from {description}")
        case = label.name.removesuffix(ending)
        images = _channel_files(image, case, ending, len(channels))
        yield RawCase(case, case, images, label)


def _pairs(description: Path, listed: Any, ending: str) -> Iterator[tuple[Path, Path]]:
    """Image (without channel suffix) and label of each case, as listed or else as found."""
    root = description.parent
    if listed is None:
        found = [path for path in (root / "labelsTr").glob(f"*{ending}") if path.name[0] != "."]
        if not found:
            raise ArcoError(f"{root / 'labelsTr'} holds no *{ending} file; restore the download")
        yield from ((root / "imagesTr" / label.name, label) for label in found)
        return
    if not isinstance(listed, list) or not listed:
        raise ArcoError(f"{description}: 'training' must be a list of cases; restore the download")
    for entry in listed:
        match entry:
            case {"image": str(image), "label": str(label)}:
                yield root / image, root / label
            case _:
                raise ArcoError(
                    f"{description}: each case of 'training' must name an 'image' and a 'label', "
                    f"unlike {entry!r}"
                )


def _channel_files(image: Path, case: str, ending: str, channels: int) -> tuple[Path, ...]:
    """The plain file of a one-channel image, else its files with channel suffixes."""
    if channels == 1 and image.is_file():
        return (image,)
    suffixed = [image.with_name(f"{case}_{channel:04d}{ending}") for channel in range(channels)]
    missing = [path for path in suffixed if not path.is_file()]
    if not missing:
        return tuple(suffixed)
    if channels > 1 and image.is_file():
        raise ArcoError(
            f"{image} keeps {channels} channels in one file; split it into {suffixed[0].name}, ..."
        )
    wanted = f"{image} (or {missing[0].name})" if channels == 1 else f"{missing[0]}"
    raise ArcoError(f"{wanted} is missing; restore it, or remove its case from the dataset")
