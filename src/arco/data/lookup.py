"""For layouts: which file it is, where folders lie, and what is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

LOG = logging.getLogger("arco")
_COLLECTED: ContextVar[dict[str, Path] | None] = ContextVar("incomplete cases", default=None)

DEEPEST = 8
"""Folders within folders that are looked into; a LiTS archive unpacks into seven."""


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


def folders_below(root: Path) -> list[Path]:
    """All folders below `root` that are not hidden, sorted, and last `root` itself.

    For downloads that unpack into folders of their own, however many lie in between. Links to
    folders are followed, each folder is listed once. One that may not be read is left out with a
    warning, since disks have such (`lost+found`).
    """
    if not root.is_dir():
        return [root]
    found: list[Path] = []
    seen: set[str] = set()
    for folder, inner, _ in os.walk(root, onerror=_warn_unreadable, followlinks=True):
        path, real = Path(folder), os.path.realpath(folder)
        new = real not in seen
        seen.add(real)
        if new:
            found.append(path)
        open_up = new and len(path.relative_to(root).parts) < DEEPEST
        inner[:] = sorted(name for name in inner if open_up and name[0] != ".")
    return [*found[1:], root]


def _warn_unreadable(error: OSError) -> None:
    LOG.warning("%s cannot be read and is left out", error.filename)


def first_nifti(folders: Iterable[Path], stem: str) -> Path | None:
    """The file of that name in the first folder that has it."""
    return next(filter(None, (nifti(folder, stem) for folder in folders)), None)


def warn_incomplete(parent: Path, missing: Mapping[str, Path], complete: int) -> None:
    """Say which cases of a partial download are left out.

    Args:
        parent: the folder of the cases.
        missing: a file that an incomplete case lacks, by its patient.
        complete: how many cases are read.
    """
    collected = _COLLECTED.get()
    if collected is not None:
        collected.update(missing)
    elif missing:
        LOG.warning(
            "%s: %d of %d cases are left out because a file is missing, such as %s",
            parent,
            len(missing),
            len(missing) + complete,
            next(iter(missing.values())).relative_to(parent),
        )


@contextmanager
def collecting_incomplete() -> Iterator[Mapping[str, Path]]:
    """Yield a dict that takes the missing files which layouts warn of otherwise, by patient."""
    collected: dict[str, Path] = {}
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)
