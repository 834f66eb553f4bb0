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
    """Rows of history.csv: means of the logged scalars over the steps since the row before.

    A scalar that not every step logs has the mean over the steps that do, and no entry in a row
    without any.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names in the rows, in the order in which they first appear."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Take in the scalars of one step, without waiting for the device."""
        for name, value in logs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

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
        means = {name: (total / self.counts[name]).item() for name, total in self.sums.items()}
        wrong = [name for name, value in means.items() if not math.isfinite(value)]
        if wrong:
            raise ArcoError(
                f"training diverged before step {progress.step + 1}: {wrong[0]} is not finite; "
                "lower training.optimizer.lr"
            )
        row = {"step": progress.step + 1, "epoch": progress.epoch, "lr": lr, **means}
        self.rows.append({**row, **(measured or {})})
        self.sums, self.counts = {}, {}
