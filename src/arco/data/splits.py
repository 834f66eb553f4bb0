"""Who trains, who is labeled, who is tested.

The lists are the truth (`arco.data.lists` tells how they read): they are drawn from a seed, but a
list that a user provides replaces the drawn one of the same name.

    splits/train.txt  val.txt  test.txt  labeled_1pct.txt ...

Parts are drawn by patient, so that all scans of a patient share a part. Labeled patients are the
first ones of the training list, so that larger budgets contain smaller ones. Loads no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from arco import files
from arco.data.lists import (
    Records,
    check_disjoint,
    check_labeled,
    parse_list,
    parse_part,
    read_part,
    slices_of,
)
from arco.data.manifest import Manifest
from arco.errors import ArcoError
from arco.schema.datasets import Budget, Split

PARTS = ("train", "val", "test")


def write_parts(
    folder: Path, records: Records, sizes: Split, user_lists: Path, key: str = "dataset"
) -> None:
    """Write train.txt, val.txt and test.txt.

    The user's lists are copied; the others are drawn from the patients that those do not name.
    Nothing is written unless all three agree.

    Args:
        folder: the `splits` folder of the prepared dataset.
        records: the prepared cases.
        sizes: patients per part, and the seed.
        user_lists: folder of the user's lists; it need not exist.
        key: where the dataset stands in params.yaml, for messages.

    Raises:
        ArcoError: too few patients; a list names an unknown case, a case twice, or a patient of
            another part.
    """
    given = {part: path for part in PARTS if (path := user_lists / f"{part}.txt").is_file()}
    texts = {part: files.read_text(path) for part, path in given.items()}
    lists = {path: parse_part(texts[part], path, records) for part, path in given.items()}
    check_disjoint(lists, records)
    taken = {records[entry.case].patient for entries in lists.values() for entry in entries}
    free = [patient for patient in shuffled_patients(records, sizes.seed) if patient not in taken]
    wanted = {part: getattr(sizes, part) for part in PARTS if part not in given}
    if sum(wanted.values()) > len(free):
        asked = " + ".join(f"{count} {part}" for part, count in wanted.items())
        left = len(free) - sum(count for part, count in wanted.items() if part != "train")
        lower = f" (train: {left} would fit)" if "train" in wanted and left > 0 else ""
        # Never scaled in silence: other sizes are another experiment.
        raise ArcoError(
            f"params.yaml: {key}.split asks for {asked} patients but only {len(free)} are there to "
            f"draw from; complete the download, lower the numbers{lower}, or put lists into "
            f"{user_lists}"
        )
    by_patient = _cases_by_patient(records)
    for part, count in wanted.items():
        chosen, free = free[:count], free[count:]
        cases = [case for patient in chosen for case in by_patient[patient]]
        texts[part] = _text([f"# {count} patients, drawn with seed {sizes.seed}", *cases])
    for part in PARTS:
        files.write_text(folder / f"{part}.txt", texts[part])


def write_labeled(
    folder: Path,
    records: Records,
    budget: Budget,
    name: str,
    user_lists: Path,
    key: str = "dataset",
) -> None:
    """Write labeled_<name>.txt: the user's own list, or the first patients of the training list.

    Args:
        folder: the `splits` folder of the prepared dataset, with train.txt in it.
        records: the prepared cases.
        budget: patients, and the share of the slices of each of their scans (`spread_slices`).
        name: the budget as paths write it, such as `1pct`.
        user_lists: folder of the user's lists; it need not exist.
        key: where the dataset stands in params.yaml, for messages.

    Raises:
        ArcoError: the training list holds too few patients; the user's list names a case that is
            unknown, there twice, or not in the training list.
    """
    training_list = folder / "train.txt"
    training = read_part(training_list, records)
    own = user_lists / f"labeled_{name}.txt"
    if own.is_file():
        text = files.read_text(own)
        check_labeled(parse_list(text, own, records), own, training, training_list)
    else:
        patients = list(dict.fromkeys(records[case].patient for case in training))
        if budget.patients > len(patients):
            raise ArcoError(
                f"{training_list} holds {len(patients)} patients but the budget {name} labels "
                f"{budget.patients}; lower its patients in {key}.labels of params.yaml"
            )
        chosen = set(patients[: budget.patients])
        labeled = [case for case in training if records[case].patient in chosen]
        header = f"# the first {budget.patients} patients of train.txt"
        if budget.slices < 1:
            header += f", {budget.slices:.4g} of the slices of each scan"
            labeled = [
                f"{case}@{index}"
                for case in labeled
                for index in spread_slices(records[case].foreground, budget.slices)
            ]
        text = _text([header, *labeled])
    files.write_text(folder / f"labeled_{name}.txt", text)


def count_slices(path: Path, manifest: Mapping[str, Any]) -> int:
    """Slices that a list stands for, given the content of manifest.json."""
    records = Manifest.of(manifest).cases
    return len(slices_of(parse_list(files.read_text(path), path, records), records))


def shuffled_patients(records: Records, seed: int) -> list[str]:
    """All patients in random order.

    They are sorted by a hash of seed and name: the order is the same with every version of every
    library, and a patient more or less leaves the order of the others as it is.
    """
    return sorted(
        {record.patient for record in records.values()},
        key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest(),
    )


def spread_slices(foreground: Sequence[int], share: float) -> list[int]:
    """The slices of a scan to label: spread evenly over those that show an organ.

    A larger share contains the slices of a smaller one.

    Args:
        foreground: labeled pixels of each slice, not all zero.
        share: of all slices of the scan; at least one is chosen, and none without foreground.

    Returns:
        Sorted indices.
    """
    candidates = [index for index, pixels in enumerate(foreground) if pixels > 0]
    count = min(len(candidates), max(1, round(share * len(foreground))))
    chosen: set[int] = set()
    points = _van_der_corput()
    while len(chosen) < count:
        chosen.add(candidates[int(next(points) * len(candidates))])
    return sorted(chosen)


def _van_der_corput() -> Iterator[float]:
    """1/2, 1/4, 3/4, 1/8, 5/8, ...: every beginning is spread evenly over [0, 1)."""
    number = 1
    while True:
        bits = f"{number:b}"
        yield int(bits[::-1], 2) / 2 ** len(bits)
        number += 1


def _cases_by_patient(records: Records) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for case in sorted(records):
        grouped.setdefault(records[case].patient, []).append(case)
    return grouped


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
