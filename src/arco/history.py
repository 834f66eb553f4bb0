"""The rows of history.csv, gathered while a run trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from arco.contracts import Progress
from arco.errors import ArcoError


@dataclass
class History:
    """Rows of history.csv: means of the logged scalars over the steps since the row before."""

    rows: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Take in the scalars of one step, without waiting for the device."""
        for name, value in logs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1

    def close_row(
        self, progress: Progress, lr: float, measured: Mapping[str, float] | None = None
    ) -> None:
        """End a row after the step that `progress` describes.

        Args:
            progress: of that step.
            lr: its learning rate.
            measured: what was measured just now and is no mean over steps; may be NaN.

        Raises:
            ArcoError: a mean is not finite; training has diverged.
        """
        means = {name: (total / self.steps).item() for name, total in self.sums.items()}
        wrong = [name for name, value in means.items() if not math.isfinite(value)]
        if wrong:
            raise ArcoError(
                f"training diverged before step {progress.step + 1}: {wrong[0]} is not finite; "
                "lower training.optimizer.lr"
            )
        row = {"step": progress.step + 1, "epoch": progress.epoch, "lr": lr, **means}
        self.rows.append({**row, **(measured or {})})
        self.sums, self.steps = {}, 0
