"""Checkpoints of unfinished runs, and the lock that keeps two jobs from training the same one.

A folder below `work/resume` holds, while a run is unfinished, its last state, and afterwards a
note of what was finished. A killed job leaves the state; the next start continues from it. A job
that outlives the killed workflow that started it (an orphan) still holds the lock: its successor
waits, finds the run finished, and has nothing to do.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from arco import files

LOG = logging.getLogger("arco")


def fingerprint(settings: str, inputs: Mapping[str, Path]) -> str:
    """What a checkpoint belongs to: the settings' text and the bytes of every input file."""
    digest = hashlib.sha256(settings.encode())
    for name in sorted(inputs):
        digest.update(f"{name}={files.sha256(inputs[name])};".encode())
    return digest.hexdigest()


class Resume:
    """The resume state of one run; use it inside `with resume.locked():`."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key
        self._state = folder / "state.pt"
        self._done = folder / "done.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this run's lock; waits while another process trains the same run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.info("another process is training this run; waiting for it to end")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def finished(self, out: Path, needed: Sequence[str]) -> bool:
        """Whether `out` holds what this very configuration made, `needed` among it, unchanged."""
        if not self._done.exists():
            return False
        note = files.read_json(self._done)
        made = note["outputs"]
        return (
            bool(note["key"] == self.key)
            and set(needed) <= set(made)
            and all((out / name).exists() for name in made)
            and all(files.sha256(out / name) == digest for name, digest in made.items())
        )

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last state saved for this configuration, or None to start from the beginning."""
        if not self._state.exists():
            return None
        try:
            state = torch.load(self._state, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError):
            # The state is only a shortcut: without it the run starts again and ends the same.
            LOG.warning("%s is damaged; starting from the beginning", self._state)
            return None
        if not isinstance(state, dict) or state.get("key") != self.key:
            LOG.warning("%s is from another configuration; starting anew", self._state)
            return None
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state: tensors, numbers, strings, lists and dicts of them."""
        with files.atomic(self._state) as temporary:
            torch.save({**state, "key": self.key}, temporary)

    def finish(self, out: Path, names: Sequence[str]) -> None:
        """Note that these files below `out` are complete and drop the state."""
        made = {name: files.sha256(out / name) for name in names}
        files.write_json(self._done, {"key": self.key, "outputs": made})
        self._state.unlink(missing_ok=True)
