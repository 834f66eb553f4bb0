"""How much of a download is there: cases found, cases that lack a file, cases that are not there.

A layout may say what a complete download holds:

    EXPECTED_CASES     how many cases, by subset
    EXPECTED_PATIENTS  the names of the patients, by subset, where they are known

Loads no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from arco.data.cases import RawCase
from arco.data.lookup import collecting_incomplete
from arco.data.manifest import read_manifest
from arco.errors import ArcoError


@dataclass(frozen=True)
class Inventory:
    """What of a download is there.

    Attributes:
        cases: what can be read.
        expected: cases of the complete download; None where nobody knows.
        incomplete: a file that is missing, for each case that is left out for want of one.
        absent: names of patients of whom there is nothing, where the layout knows the names.
    """

    cases: list[RawCase]
    expected: int | None
    incomplete: tuple[Path, ...]
    absent: tuple[str, ...]

    @property
    def partial(self) -> bool:
        """Whether something is known to be missing."""
        few = self.expected is not None and len(self.cases) < self.expected
        return few or bool(self.incomplete)

    @property
    def count(self) -> str:
        """Such as `87 of 100 cases`."""
        of = f" of {self.expected}" if self.expected is not None and self.partial else ""
        return f"{len(self.cases)}{of} cases"

    def gaps(self, root: Path, most: int) -> str:
        """What is missing, in words: at most so many names of each kind; empty if nothing is."""
        files = [str(path.relative_to(root)) for path in self.incomplete]
        found = [("file", files), ("patient", self.absent)]
        return "; ".join(_listed(names, kind, most) for kind, names in found if names)


def take_inventory(layout: ModuleType, root: Path, subsets: Sequence[str]) -> Inventory:
    """Look for the cases of a dataset and for what is missing.

    Args:
        layout: a module of `arco.data.layouts`.
        root: the dataset's folder.
        subsets: of the layout.

    Raises:
        ArcoError: as the layout's `find_cases`.
    """
    with collecting_incomplete() as incomplete:
        cases = layout.find_cases(root, subsets)
    counts: Mapping[str, int] = getattr(layout, "EXPECTED_CASES", {})
    names: Mapping[str, Sequence[str]] = getattr(layout, "EXPECTED_PATIENTS", {})
    expected = sum(counts[subset] for subset in subsets) if counts else None
    there = {case.patient for case in cases} | set(incomplete)
    wanted = [name for subset in subsets for name in names.get(subset, ())]
    absent = tuple(name for name in wanted if name not in there)
    return Inventory(cases, expected, tuple(incomplete.values()), absent)


def digest_of_names(layout: ModuleType, root: Path, subsets: Sequence[str], prepared: Path) -> str:
    """Of the names of the files that preparation would read now: it changes as a download grows.

    Where there is nothing to read any more, of the files that `prepared` was made from: what is
    prepared outlives the download. What is wrong with a download is for its job to say.
    """
    try:
        cases = take_inventory(layout, root, subsets).cases
    except ArcoError:
        cases = []
    paths = {path for case in cases for path in (*case.images, case.label) if path is not None}
    names = {path.relative_to(root).as_posix() for path in paths}
    if not names and (prepared / "manifest.json").is_file():
        records = read_manifest(prepared).cases.values()
        names = {name for record in records for name in record.inputs}
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _listed(names: Sequence[str], kind: str, most: int) -> str:
    """Such as `3 files (a, b and 1 more)`."""
    rest = len(names) - most
    shown = ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
    return f"{len(names)} {kind}{'s' * (len(names) > 1)} ({shown})"
