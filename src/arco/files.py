"""Reading and writing artefacts: atomic writes, checksums, no format that can execute code."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arco.errors import ArcoError

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The temporary name keeps every suffix of `path` (writers choose their format by it). Whatever
    happens inside the block, `path` is either the complete new file, the old one, or absent.
    A directory may be built at the temporary path too; it then replaces an existing `path`.

    Raises:
        ArcoError: the file system refuses (full, read-only, no permission).
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and not _is_below(error.filename, path.parent):
            raise
        reason = error.strerror or str(error)
        raise ArcoError(
            f"cannot write {path}: {reason.lower()}; free some space or choose a writable folder"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # what went wrong above is the error to tell
                temporary.unlink(missing_ok=True)


def _is_below(name: str | bytes | int, folder: Path) -> bool:
    """Whether the file that an OSError names lies in or above `folder`: our own write failed."""
    named = Path(os.fsdecode(name)) if not isinstance(name, int) else folder
    return named == folder or folder in named.parents or named in folder.parents


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        ArcoError: the file is missing.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ArcoError(f"{path} is missing; make it first or correct the path") from error


def read_text(path: Path) -> str:
    """A UTF-8 text file.

    Raises:
        ArcoError: the file is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ArcoError(f"{path} is missing; make it first or correct the path") from error
    except UnicodeDecodeError as error:
        raise ArcoError(f"{path} is not a UTF-8 text file; save it as UTF-8") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        ArcoError: the file is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ArcoError(
            f"{path} is not valid JSON ({error}); delete it and make it again"
        ) from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys in the given order, one trailing newline."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write rows as CSV atomically (line feeds at line ends, floats by `repr`, NaN as `nan`)."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_array(path: Path, *, memory_mapped: bool = True) -> np.ndarray:
    """A `.npy` array, memory-mapped read-only unless told otherwise; pickled objects are refused.

    Raises:
        ArcoError: the file is missing, cut short, or no plain array.
    """
    import numpy as np

    try:
        return np.load(path, mmap_mode="r" if memory_mapped else None, allow_pickle=False)  # type: ignore[no-any-return]
    except FileNotFoundError as error:
        raise ArcoError(f"{path} is missing; run `arco prepare` for its dataset") from error
    except (ValueError, EOFError) as error:
        raise ArcoError(
            f"{path} is damaged ({error}); delete it and run `arco prepare` again"
        ) from error


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a `.npy` array atomically."""
    import numpy as np

    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
