"""The whole state of a method at chosen steps, for looking at a run afterwards.

    <run>/snapshots/<step>.safetensors     student, teacher, heads, banks: names as in the method

While the run goes on they gather beside its checkpoints, where nobody deletes what an unfinished
job has written (Snakemake does in the run's folder).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from arco import files

FOLDER = "snapshots"


class Snapshots:
    """Writes the snapshots of one run.

    Attributes:
        steps: the numbers of finished steps after which one is written, ascending.
    """

    def __init__(self, shares: Sequence[float], total: int, resume: Path) -> None:
        """Choose the steps.

        Args:
            shares: of the run; each names the nearest step, from the first on.
            total: steps of the run.
            resume: folder of the run's checkpoints.
        """
        self.steps = sorted({max(round(share * total), 1) for share in shares})
        self._gathered = resume / FOLDER

    @property
    def names(self) -> list[str]:
        """The files below the run's folder."""
        return [f"{FOLDER}/{step}.safetensors" for step in self.steps]

    def take(self, step: int, method: nn.Module) -> None:
        """Write the state after `step` finished steps, if it is one of those.

        A run that continues from an earlier checkpoint writes the same bytes once more. What is no
        tensor, as the state of a critic's own optimizer, is left out.
        """
        if step not in self.steps:
            return
        state = {
            # A copy each, since the format refuses tensors that share their memory.
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in method.state_dict().items()
            if isinstance(tensor, Tensor)
        }
        with files.atomic(self._gathered / f"{step}.safetensors") as temporary:
            save_file(state, temporary)

    def publish(self, out: Path) -> None:
        """Copy them into the run's folder: all of them, in place of those of an older run."""
        if not self.steps:
            shutil.rmtree(out / FOLDER, ignore_errors=True)
            return
        with files.atomic(out / FOLDER) as folder:
            folder.mkdir()
            for step in self.steps:
                name = f"{step}.safetensors"
                shutil.copyfile(self._gathered / name, folder / name)

    def clear(self) -> None:
        """Drop what was gathered, once the run is finished."""
        shutil.rmtree(self._gathered, ignore_errors=True)
