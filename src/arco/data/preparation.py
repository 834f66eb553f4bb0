"""From a dataset's original files to the arrays that training reads.

A case is a job of its own: finished ones are recognised by checksums and skipped, and several
processes may share the work. The original label map is kept on its own grid, so that evaluation
never needs the download again. `arco.data.manifest` tells what lies where. Loads no torch.
"""

# SimpleITK is typed, but only in part.
# mypy: untyped-calls-exclude=SimpleITK

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from arco import files
from arco.data import geometry
from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings, convert
from arco.data.label_maps import class_counts
from arco.data.manifest import SUFFIXES, CaseRecord, Manifest, prepared_file, write_manifest
from arco.errors import ArcoError

MOST_UNUSABLE = 5
"""After so many unusable cases it is the settings or the download, not the cases."""


def prepare_dataset(
    cases: Sequence[RawCase],
    root: Path,
    folder: Path,
    settings: PreparationSettings,
    *,
    source: str,
    workers: int,
    report: Callable[[int, int], None],
    keep_others: bool = False,
) -> Manifest:
    """Prepare every case and write the manifest, which exists only while all of it is true.

    An unusable case does not stop the others, so that one run tells up to `MOST_UNUSABLE` of them.

    Args:
        cases: what the layout found.
        root: the dataset's folder; inputs are recorded by their names below it.
        folder: where to write; files of other cases in it are removed, unless `keep_others`.
        settings: how to prepare.
        source: `phantom` or `raw`, for the record.
        workers: processes that share the cases.
        report: called with (done, total).
        keep_others: for downloads of which a part is away, so that it need not be prepared again.

    Raises:
        ArcoError: no case, cases that cannot be used, or a file that cannot be written.
    """
    if not cases:
        raise ArcoError(f"{root} holds no case; see `arco doctor` for what it should hold")
    _clear(folder, cases, keep_others=keep_others)
    prepare = partial(prepare_case, root=root, folder=folder, settings=settings)
    records: dict[str, CaseRecord] = {}
    unusable: list[ArcoError] = []
    with closing(_mapped(prepare, cases, workers)) as outcomes:
        for tried, (case, outcome) in enumerate(zip(cases, outcomes, strict=True), start=1):
            if isinstance(outcome, ArcoError):
                unusable.append(outcome)
            else:
                records[case.case] = outcome
            report(tried, len(cases))
            if len(unusable) == MOST_UNUSABLE:
                break
    if len(unusable) == 1:
        raise unusable[0]
    if unusable:
        told = "".join(f"\n  {error}" for error in unusable)
        raise ArcoError(f"{root}: {len(unusable)} of the first {tried} cases cannot be used:{told}")
    _check_channels(records, root)
    # Lists, because a JSON object promises no order and the order of the classes numbers them.
    as_lists = {"classes": [*settings.classes], "label_values": [*settings.classes.values()]}
    manifest = Manifest(source, asdict(settings) | as_lists, dict(sorted(records.items())))
    write_manifest(folder, manifest)
    return manifest


def prepare_case(
    case: RawCase, *, root: Path, folder: Path, settings: PreparationSettings
) -> CaseRecord | ArcoError:
    """Prepare one case, unless its files are there already and were made from the same.

    Returns:
        Its record; or why its original files cannot be used, which says nothing about other cases.

    Raises:
        ArcoError: a file cannot be written.
    """
    try:
        if case.label is None:
            raise ArcoError(f"{case.images[0]} has no label map; add it or remove the case")
        inputs = {_below(path, root): _checksum(path) for path in (*case.images, case.label)}
        key = _key(case, inputs, settings)
        earlier = _earlier_record(case.case, key, folder)
        if earlier is not None:
            return earlier
        converted = convert(case.images, case.label, settings)
    except ArcoError as error:
        return error
    images, labels, truth = (
        prepared_file(folder, kind, case.case) for kind in ("images", "labels", "truth")
    )
    files.write_array(images, converted.images)
    files.write_array(labels, converted.labels)
    geometry.write_labels(truth, converted.truth, converted.native)
    counts = class_counts(converted.truth, len(settings.classes)).tolist()
    record = CaseRecord(
        patient=case.patient,
        inputs=inputs,
        files={_below(path, folder): files.sha256(path) for path in (images, labels, truth)},
        geometry=converted.native,
        shape=converted.images.shape,
        voxels=dict(zip(settings.classes, counts, strict=True)),
        foreground=tuple(np.count_nonzero(converted.labels, axis=(1, 2)).tolist()),
        notes=converted.notes,
        region=converted.region,
    )
    # Last, so that a record never speaks of files that are not there yet.
    files.write_json(
        prepared_file(folder, "cases", case.case), {"key": key, "record": asdict(record)}
    )
    return record


def _mapped(
    prepare: Callable[[RawCase], CaseRecord | ArcoError],
    cases: Sequence[RawCase],
    workers: int,
) -> Generator[CaseRecord | ArcoError, None, None]:
    """What each case gives, in order; cases not yet begun are left when it is closed."""
    if workers == 1:
        yield from map(prepare, cases)
        return
    # A fresh interpreter each: a forked one may inherit locks of threads that it does not have.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_use_one_thread) as pool:
        try:
            yield from pool.map(prepare, cases)
        except BrokenProcessPool as error:
            raise ArcoError(
                "a preparation process was killed, most likely for want of memory; run it again "
                "with fewer --workers"
            ) from error


def _use_one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _key(case: RawCase, inputs: Mapping[str, str], settings: PreparationSettings) -> str:
    """Digest of everything that decides the files of a case."""
    content = {"patient": case.patient, "inputs": inputs, "settings": asdict(settings)}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _earlier_record(case: str, key: str, folder: Path) -> CaseRecord | None:
    """The record of an earlier run, if it was made under the same key and its files are intact."""
    path = prepared_file(folder, "cases", case)
    if not path.is_file():
        return None
    content: Any = files.read_json(path)
    if content["key"] != key:
        return None
    record = CaseRecord.of(content["record"])
    intact = all(
        (folder / name).is_file() and files.sha256(folder / name) == digest
        for name, digest in record.files.items()
    )
    return record if intact else None


def _clear(folder: Path, cases: Sequence[RawCase], *, keep_others: bool) -> None:
    """Delete the old manifest, what a killed run left half-written, and cases that are gone."""
    try:
        (folder / "manifest.json").unlink(missing_ok=True)
        for kind in SUFFIXES:
            expected = {prepared_file(folder, kind, case.case) for case in cases}
            for path in (folder / kind).glob("*"):
                if path not in expected and not (keep_others and path.name[0] != "."):
                    path.unlink()
    except OSError as error:
        raise ArcoError(
            f"cannot change {folder}: {(error.strerror or str(error)).lower()}; make it writable "
            "or choose another folder"
        ) from error


def _check_channels(records: Mapping[str, CaseRecord], root: Path) -> None:
    first, reference = next(iter(records.items()))
    for case, record in records.items():
        if record.shape[0] != reference.shape[0]:
            raise ArcoError(
                f"{root}: case {case} has {record.shape[0]} channels but {first} has "
                f"{reference.shape[0]}; complete it or remove it"
            )


def _checksum(path: Path) -> str:
    if not path.is_file():
        raise ArcoError(f"{path} is missing; restore it from the download")
    return files.sha256(path)


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
