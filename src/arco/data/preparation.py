"""From a dataset's original files to the arrays that training reads (appendix Sec. B).

Each scan is checked, optionally truncated to an intensity window, scaled to [0, 1] by its own
minimum and maximum, turned to a common orientation, and resampled in-plane. Deviation: images are
interpolated linearly, where the public loaders take the nearest pixel. The original label map is
kept on its own grid, so that evaluation never needs the download again.

A case is a job of its own: finished ones are recognised by checksums and skipped, and several
processes may share the work. Loads no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from arco import files
from arco.data import geometry
from arco.data.cases import RawCase
from arco.data.manifest import CaseRecord, Geometry, Manifest, write_manifest
from arco.errors import ArcoError

SAME_GRID_VOXELS = 0.1
"""Headers of one scan may differ by rounding; a shift this small cannot move a label by a voxel."""

FOLDERS = {"images": ".npy", "labels": ".npy", "truth": ".nii.gz", "cases": ".json"}


@dataclass(frozen=True)
class PreparationSettings:
    """What decides the prepared arrays.

    Attributes:
        classes: value in the label files by class name, background first.
        image_size: (H, W) of the slices; None keeps whole volumes on their own grid.
        intensity_window: [low, high] to truncate to before scaling, in the units of the file
            (Hounsfield units for CT), or None.
        version: raised whenever the code of this module changes what it writes.
    """

    classes: Mapping[str, int]
    image_size: tuple[int, int] | None
    intensity_window: tuple[float, float] | None
    version: int


def prepare_dataset(
    cases: Sequence[RawCase],
    root: Path,
    folder: Path,
    settings: PreparationSettings,
    *,
    source: str,
    workers: int,
    report: Callable[[int, int], None],
) -> Manifest:
    """Prepare every case and write the manifest, which exists only while all of it is true.

    Args:
        cases: what the layout found.
        root: the dataset's folder; inputs are recorded by their names below it.
        folder: where to write; files of other cases in it are removed.
        settings: how to prepare.
        source: `phantom` or `raw`, for the record.
        workers: processes to share the cases.
        report: called with (done, total).

    Raises:
        ArcoError: no case, a case that cannot be used, or a file that cannot be written.
    """
    if not cases:
        raise ArcoError(f"{root} holds no case; see `arco doctor` for what it should hold")
    (folder / "manifest.json").unlink(missing_ok=True)
    _remove_strangers(folder, cases)
    prepare = partial(prepare_case, root=root, folder=folder, settings=settings)
    records = {}
    for case, record in zip(cases, _mapped(prepare, cases, workers), strict=True):
        records[case.case] = record
        report(len(records), len(cases))
    _check_channels(records, root)
    # In a list, the order of the classes survives every JSON tool.
    kept = asdict(settings) | {"classes": list(settings.classes)}
    manifest = Manifest(source, kept, dict(sorted(records.items())))
    write_manifest(folder, manifest)
    return manifest


def prepare_case(
    case: RawCase, *, root: Path, folder: Path, settings: PreparationSettings
) -> CaseRecord:
    """Prepare one case, unless its files are there already, made from the same inputs.

    Raises:
        ArcoError: the case cannot be used; the message names its file.
    """
    if case.label is None:
        raise ArcoError(f"{case.images[0]} has no label map; remove the case from {root}")
    inputs = {_below(path, root): files.sha256(path) for path in _inputs(case)}
    key = _digest({"settings": asdict(settings), "inputs": inputs, "patient": case.patient})
    path = _file(folder, "cases", case.case)
    recorded = _recorded(path, key, folder)
    if recorded is not None:
        return recorded
    scans = [geometry.read_scan(image) for image in case.images]
    native = geometry.geometry_of(scans[0])
    notes: list[str] = []
    for image, scan in zip(case.images[1:], scans[1:], strict=True):
        notes += _check_same_grid(case.images[0], native, image, geometry.geometry_of(scan))
    images = np.stack(
        [
            geometry.to_prepared(_scaled(scan, image, settings), settings.image_size)
            for scan, image in zip(scans, case.images, strict=True)
        ]
    )
    raw = geometry.read_scan(case.label, labels=True)
    notes += _check_same_grid(case.images[0], native, case.label, geometry.geometry_of(raw))
    truth, oddities = class_indices(sitk.GetArrayFromImage(raw), settings.classes, case.label)
    raw = sitk.GetImageFromArray(truth)
    raw.CopyInformation(scans[0])
    labels = geometry.to_prepared(raw, settings.image_size, nearest=True)
    notes += [*oddities, *_lost_classes(truth, labels, settings)]
    files.write_array(_file(folder, "images", case.case), images)
    files.write_array(_file(folder, "labels", case.case), labels)
    geometry.write_labels(_file(folder, "truth", case.case), truth, native)
    written = [_file(folder, kind, case.case) for kind in ("images", "labels", "truth")]
    record = CaseRecord(
        patient=case.patient,
        inputs=inputs,
        files={_below(file, folder): files.sha256(file) for file in written},
        geometry=native,
        shape=images.shape,
        voxels=_voxels(truth, settings),
        foreground=tuple(np.count_nonzero(labels, axis=(1, 2)).tolist()),
        notes=tuple(notes),
    )
    files.write_json(path, {"key": key, "record": asdict(record)})
    return record


def class_indices(
    values: np.ndarray, classes: Mapping[str, int], path: Path
) -> tuple[np.ndarray, list[str]]:
    """Label values as class indices.

    Args:
        values: label map of any shape and numeric type; floats must hold integers.
        classes: value by class name; the position of a class is its index.
        path: the file, for messages.

    Returns:
        uint8 indices of the same shape, and notes on what was odd.

    Raises:
        ArcoError: a value that is no integer or no class, or nothing but background.
    """
    notes = []
    if np.issubdtype(values.dtype, np.floating):
        if not (np.isfinite(values).all() and np.array_equal(values, np.rint(values))):
            raise ArcoError(
                f"{path} holds label values that are not whole numbers; restore it from the "
                "download, or resample it with nearest neighbours"
            )
        notes.append(f"labels are stored as {values.dtype}")
    known = list(classes.values())
    if values.min() < 0 or values.max() > max(known):
        raise _unknown_values(values, classes, path)
    table = np.full(max(known) + 1, len(known), dtype=np.uint8)
    table[known] = np.arange(len(known))
    indices = table[values.astype(np.intp)]
    if indices.max() == len(known):
        raise _unknown_values(values, classes, path)
    if not indices.any():
        raise ArcoError(
            f"{path} is empty: every voxel is {next(iter(classes))}; remove the case or restore "
            "its label map"
        )
    return indices, notes


def _unknown_values(values: np.ndarray, classes: Mapping[str, int], path: Path) -> ArcoError:
    unknown = np.setdiff1d(values, list(classes.values()))
    shown = ", ".join(f"{value:g}" for value in unknown[:5]) + ", ..." * (len(unknown) > 5)
    known = ", ".join(f"{value} {name}" for name, value in classes.items())
    return ArcoError(
        f"{path} holds unknown label values ({shown}); the dataset's classes are {known}: correct "
        "the file or the classes in params.yaml"
    )


def _scaled(scan: sitk.Image, path: Path, settings: PreparationSettings) -> sitk.Image:
    """The scan truncated to the window and scaled to [0, 1], on the same grid."""
    values = sitk.GetArrayFromImage(scan)
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise ArcoError(
            f"{path} holds {count} voxels that are NaN or infinite; replace them or remove the case"
        )
    window = settings.intensity_window
    if window is not None:
        values = values.clip(*window)
    low, high = values.min(), values.max()
    if low == high:
        within = f" within the intensity window {list(window)}" if window else ""
        raise ArcoError(
            f"{path} is constant{within}: every voxel is {low:g}; restore it or remove the case"
        )
    # In double precision, because a float32 range may overflow.
    scaled = (values.astype(np.float64) - low) / (float(high) - float(low))
    image = sitk.GetImageFromArray(scaled.astype(np.float32))
    image.CopyInformation(scan)
    return image


def _check_same_grid(first: Path, expected: Geometry, other: Path, found: Geometry) -> list[str]:
    """A note where two headers differ by rounding only; a real difference is refused."""
    if found.size != expected.size:
        sizes = [" x ".join(map(str, size)) for size in (found.size, expected.size)]
        raise ArcoError(
            f"{other} is {sizes[0]} voxels but {first} is {sizes[1]}; restore the matching file"
        )
    shift = geometry.displacement(expected, found)
    if shift > SAME_GRID_VOXELS:
        raise ArcoError(
            f"{other} lies elsewhere in space than {first} (by up to {shift:.3g} voxels); correct "
            "the affine in its header"
        )
    return [f"{other.name}: header differs by {shift:.1g} voxels"] if shift > 0 else []


def _lost_classes(
    truth: np.ndarray, labels: np.ndarray, settings: PreparationSettings
) -> list[str]:
    """A note for each class that is too small to survive resizing."""
    lost = np.setdiff1d(truth, labels)
    return [f"class {list(settings.classes)[index]} is lost by resizing" for index in lost]


def _voxels(truth: np.ndarray, settings: PreparationSettings) -> dict[str, int]:
    counts = np.bincount(truth.ravel(), minlength=len(settings.classes))
    return dict(zip(settings.classes, counts.tolist(), strict=True))


def _check_channels(records: Mapping[str, CaseRecord], root: Path) -> None:
    (first, reference), *_ = records.items()
    for case, record in records.items():
        if record.shape[0] != reference.shape[0]:
            raise ArcoError(
                f"{root}: case {case} has {record.shape[0]} channels but {first} has "
                f"{reference.shape[0]}; complete it or remove it"
            )


def _mapped(
    prepare: Callable[[RawCase], CaseRecord], cases: Sequence[RawCase], workers: int
) -> Iterator[CaseRecord]:
    """The record of each case, in order; the first failure stops the rest."""
    if workers == 1:
        yield from map(prepare, cases)
        return
    # A fresh interpreter each: a forked one would inherit locks of threads that are not there.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_use_one_thread) as pool:
        try:
            yield from pool.map(prepare, cases)
        except BrokenProcessPool as error:
            raise ArcoError(
                "a preparation process was killed, most likely for want of memory; "
                "run it again with fewer --workers"
            ) from error


def _use_one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _recorded(path: Path, key: str, folder: Path) -> CaseRecord | None:
    """The record of an earlier run, if it was made from the same and its files are intact."""
    if not path.is_file():
        return None
    content: Any = files.read_json(path)
    if not isinstance(content, dict) or content.get("key") != key:
        return None
    record = CaseRecord.of(content["record"])
    intact = all(
        (folder / name).is_file() and files.sha256(folder / name) == digest
        for name, digest in record.files.items()
    )
    return record if intact else None


def _remove_strangers(folder: Path, cases: Sequence[RawCase]) -> None:
    """Delete what an earlier run left of cases that are gone, or half-written by a killed one."""
    for kind in FOLDERS:
        expected = {_file(folder, kind, case.case) for case in cases}
        for path in (folder / kind).glob("*"):
            if path not in expected:
                path.unlink()


def _inputs(case: RawCase) -> Iterator[Path]:
    for path in (*case.images, case.label):
        if path is None or not path.is_file():
            raise ArcoError(f"{path} is missing; restore it from the download")
        yield path


def _file(folder: Path, kind: str, case: str) -> Path:
    return folder / kind / f"{case}{FOLDERS[kind]}"


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=False).encode()).hexdigest()
