"""What a prepared dataset holds: one record per case, gathered in manifest.json.

    prepared/manifest.json          settings, source, and the record of every case
    prepared/cases/<case>.json      that record alone, with the key it was made under
    prepared/images/<case>.npy      [channels, Z, H, W] float32 in [0, 1]
    prepared/labels/<case>.npy      [Z, H, W] uint8 class indices
    prepared/truth/<case>.nii.gz    class indices on the native grid, in the native orientation
    prepared/splits/*.txt           see `arco.data.splits`

Loads neither torch nor SimpleITK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arco import files
from arco.errors import ArcoError

SUFFIXES = {"images": ".npy", "labels": ".npy", "truth": ".nii.gz", "cases": ".json"}
"""What lies in a prepared folder: one file per case in each of these folders."""


@dataclass(frozen=True)
class Geometry:
    """The grid of a scan as its file stores it; axes in the order x, y, z of the file.

    Attributes:
        size: voxels along each axis.
        spacing_mm: distance of neighbouring voxel centers along each axis.
        origin_mm: center of the first voxel, in LPS coordinates.
        direction: the 3 x 3 matrix whose columns are the axes in LPS coordinates, row by row.
        orientation: where the axes point to, such as `LPS` (left, posterior, superior).
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]
    orientation: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Geometry:
        """The geometry that a JSON object describes."""
        lists = {key: tuple(value) for key, value in content.items() if key != "orientation"}
        return cls(**lists, orientation=content["orientation"])


@dataclass(frozen=True)
class CaseRecord:
    """One prepared case.

    Attributes:
        patient: who was scanned.
        inputs: SHA-256 of each original file, by its name below the dataset's root.
        files: SHA-256 of each prepared file, by its name below the prepared folder.
        geometry: the native grid.
        shape: (channels, Z, H, W) of the prepared images.
        voxels: native voxels of each class, background included.
        foreground: labeled pixels of each prepared slice.
        notes: oddities of the original files that were accepted.
        region: the part of the native grid that was prepared, in canonical orientation; None: all.
    """

    patient: str
    inputs: dict[str, str]
    files: dict[str, str]
    geometry: Geometry
    shape: tuple[int, ...]
    voxels: dict[str, int]
    foreground: tuple[int, ...]
    notes: tuple[str, ...]
    region: Geometry | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> CaseRecord:
        """The record that a JSON object describes."""
        values = dict(content) | {"geometry": Geometry.of(content["geometry"])}
        for key in ("shape", "foreground", "notes"):
            values[key] = tuple(values[key])
        region = values.get("region")
        return cls(**values | {"region": None if region is None else Geometry.of(region)})

    @property
    def slices(self) -> int:
        """Z, the number of slices."""
        return self.shape[1]


@dataclass(frozen=True)
class Manifest:
    """A prepared dataset.

    Attributes:
        source: `phantom` or `raw`.
        settings: what it was prepared with.
        cases: the records by case, sorted.
    """

    source: str
    settings: dict[str, Any]
    cases: dict[str, CaseRecord]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Manifest:
        """The manifest that a JSON object describes."""
        cases = {case: CaseRecord.of(record) for case, record in content["cases"].items()}
        return cls(content["source"], content["settings"], cases)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by index, background first."""
        return tuple(self.settings["classes"])

    def record(self, case: str) -> CaseRecord:
        """The record of a case.

        Raises:
            ArcoError: there is no such case.
        """
        if case not in self.cases:
            raise ArcoError(f"there is no prepared case {case}; run `arco prepare` for its dataset")
        return self.cases[case]


def prepared_file(folder: Path, kind: str, case: str) -> Path:
    """The file of a case in a prepared folder; `kind` is a key of `SUFFIXES`."""
    return folder / kind / f"{case}{SUFFIXES[kind]}"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared folder.

    Raises:
        ArcoError: it is missing, damaged, or of another version of this program.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ArcoError(f"{path} is missing; run `arco prepare` for its dataset")
    try:
        return Manifest.of(files.read_json(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise ArcoError(
            f"{path} is not a manifest of this version; run `arco prepare` for its dataset"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a prepared folder."""
    files.write_json(folder / "manifest.json", asdict(manifest))
