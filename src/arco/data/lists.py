"""Split lists: text files with one case a line, checked against the prepared cases.

    patient001_frame01        a whole case
    patient001_frame01@3      only slice 3 of it, counted from 0; in lists of labeled cases
    # blank lines and what follows a # are ignored

Every mistake is reported with its file and line. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arco import files
from arco.data.manifest import CaseRecord
from arco.errors import ArcoError

Records = Mapping[str, CaseRecord]


@dataclass(frozen=True)
class Entry:
    """A line of a list: a whole case, or one slice of it.

    Attributes:
        case: its name.
        slice: index along Z, or None for the whole case.
        line: where it stands in its file, from 1.
    """

    case: str
    slice: int | None
    line: int

    def __str__(self) -> str:
        return self.case if self.slice is None else f"{self.case}@{self.slice}"


def parse_list(text: str, path: Path, records: Records) -> list[Entry]:
    """The entries of a list with the given text; `path` is only named in messages.

    Raises:
        ArcoError: no entry; an unknown case or slice; the same case or slice twice.
    """
    lines: dict[tuple[str, int | None], int] = {}
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        entry = _entry(content, number, path, records)
        # A whole case clashes with any line about it, a slice with itself and with the whole.
        clashing = lines.get((entry.case, None)) or lines.get((entry.case, entry.slice))
        if entry.slice is None:
            clashing = next((at for (case, _), at in lines.items() if case == entry.case), None)
        if clashing is not None:
            raise ArcoError(
                f"{path} line {number}: {entry} is in line {clashing} already; remove one of them"
            )
        lines[entry.case, entry.slice] = number
        entries.append(entry)
    if not entries:
        raise ArcoError(f"{path} names no case; fill it or delete it")
    return entries


def parse_part(text: str, path: Path, records: Records) -> list[Entry]:
    """As `parse_list`, for a list whose entries must be whole cases."""
    entries = parse_list(text, path, records)
    for entry in entries:
        if entry.slice is not None:
            raise ArcoError(
                f"{path} line {entry.line}: {entry} is a single slice; write {entry.case}, only "
                "lists of labeled cases may name slices"
            )
    return entries


def read_part(path: Path, records: Records) -> list[str]:
    """The cases of train.txt, val.txt or test.txt.

    Raises:
        ArcoError: the list is missing, or wrong in a way `parse_part` tells.
    """
    return [entry.case for entry in parse_part(files.read_text(path), path, records)]


def read_labeled(path: Path, records: Records, training_list: Path) -> list[Entry]:
    """The labeled cases and slices (the training list itself will do).

    Raises:
        ArcoError: as `parse_list`; or a case that is not in the training list.
    """
    entries = parse_list(files.read_text(path), path, records)
    check_labeled(entries, path, read_part(training_list, records), training_list)
    return entries


def slices_of(entries: Iterable[Entry], records: Records) -> list[tuple[str, int]]:
    """Each (case, slice) that the entries stand for, in their order."""
    return [
        (entry.case, index)
        for entry in entries
        for index in (range(records[entry.case].slices) if entry.slice is None else [entry.slice])
    ]


def check_disjoint(lists: Mapping[Path, Sequence[Entry]], records: Records) -> None:
    """Refuse lists that share a patient.

    Raises:
        ArcoError: naming both lines.
    """
    owners: dict[str, tuple[Path, Entry]] = {}
    for path, entries in lists.items():
        for entry in entries:
            patient = records[entry.case].patient
            other_path, other = owners.setdefault(patient, (path, entry))
            if other_path != path:
                raise ArcoError(
                    f"{path} line {entry.line}: {entry} is of patient {patient}, who is in "
                    f"{other_path} line {other.line} ({other}) already; remove one of them"
                )


def check_labeled(
    entries: Sequence[Entry], path: Path, training: Sequence[str], training_list: Path
) -> None:
    """Refuse labeled cases that are not trained on.

    Raises:
        ArcoError: naming the line.
    """
    known = set(training)
    for entry in entries:
        if entry.case not in known:
            raise ArcoError(
                f"{path} line {entry.line}: {entry} is not in {training_list}; remove it here or "
                "add its case there"
            )


def _entry(content: str, number: int, path: Path, records: Records) -> Entry:
    case, at, index = content.partition("@")
    if case not in records:
        raise ArcoError(
            f"{path} line {number}: there is no case {case} in the prepared data; correct the "
            f"name (they look like {next(iter(records))}) or complete the download"
        )
    if not at:
        return Entry(case, None, number)
    slices = records[case].slices
    if not (index.isascii() and index.isdigit() and int(index) < slices):
        raise ArcoError(
            f"{path} line {number}: {content} names no slice; write {case}@0 to {case}@{slices - 1}"
        )
    return Entry(case, int(index), number)
