"""For layouts with a folder per case: which file it is, and what is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

LOG = logging.getLogger("arco")
_COLLECTED: ContextVar[list[Path] | None] = ContextVar("incomplete cases", default=None)


def nifti(folder: Path, stem: str) -> Path | None:
    """The compressed file of that name, or the uncompressed one where it is the only one."""
    for ending in (".nii.gz", ".nii"):
        path = folder / f"{stem}{ending}"
        if path.is_file():
            return path
    return None


def case_folders(parent: Path) -> list[Path]:
    """The folders in `parent` that are not hidden, sorted; none where there is no such folder."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and path.name[0] != ".")


def warn_incomplete(parent: Path, missing: Sequence[Path], complete: int) -> None:
    """Say which cases of a partial download are left out.

    Args:
        parent: the folder of the cases.
        missing: a file that an incomplete case lacks, for each of them.
        complete: how many cases are read.
    """
    collected = _COLLECTED.get()
    if collected is not None:
        collected += missing
    elif missing:
        LOG.warning(
            "%s: %d of %d cases are left out because a file is missing, such as %s",
            parent,
            len(missing),
            len(missing) + complete,
            missing[0].relative_to(parent),
        )


@contextmanager
def collecting_incomplete() -> Iterator[list[Path]]:
    """Yield a list that takes the missing files which layouts warn of otherwise."""
    collected: list[Path] = []
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)
