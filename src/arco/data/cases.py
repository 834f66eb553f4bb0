"""What a layout reader finds in an original download: cases, as files, before anything is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from arco.errors import ArcoError


@dataclass(frozen=True)
class RawCase:
    """One scan of the original download.

    Attributes:
        case: unique name, such as `patient001_frame01` or `hippocampus_001`.
        patient: who was scanned; all cases of one patient belong in the same split.
        images: one 3D file per channel, in the order of the channels.
        label: the label map, or None where the download has none.
    """

    case: str
    patient: str
    images: tuple[Path, ...]
    label: Path | None


def in_order(cases: Iterable[RawCase]) -> list[RawCase]:
    """The cases sorted by name.

    Raises:
        ArcoError: two cases share a name; a name that split lists could not hold.
    """
    by_name: dict[str, RawCase] = {}
    for case in cases:
        if set(case.case) & set("#@"):
            raise ArcoError(
                f"{case.images[0]}: case {case.case} has a # or @ in its name, which split lists "
                "take for something else; rename it"
            )
        other = by_name.setdefault(case.case, case)
        if other is not case:
            raise ArcoError(
                f"case {case.case} was found twice, as {other.images[0]} and {case.images[0]}; "
                "remove one of them"
            )
    return [by_name[name] for name in sorted(by_name)]
