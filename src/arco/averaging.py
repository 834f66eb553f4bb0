"""The average of a network's weights over the steps of a run, exported in place of the last ones.

Ours, for short runs, whose last step is good or bad by luck (Polyak & Juditsky 1992; exponential
as in most code since). The loop keeps it, whatever the method: no method knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from arco.schedules import averaging_decay


class WeightAverage:
    """An exponential average of what a method exports.

    It starts as a copy of the weights after the first step. What is no floating number, such as
    batch norm's count of batches, is that of the last step.

    Attributes:
        decay: in the long run; see `arco.schedules.averaging_decay`.
        weights: the average, by the names of the network; empty before the first step.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, exported: Mapping[str, Tensor], step: int) -> None:
        """Take in the weights after a step.

        Args:
            exported: parameters and buffers by name.
            step: index of the step, from 0.
        """
        if not self.weights:
            self.weights = {name: tensor.detach().clone() for name, tensor in exported.items()}
            return
        share = 1 - averaging_decay(step, self.decay)
        for name, average in self.weights.items():
            if average.is_floating_point():
                average.lerp_(exported[name], share)
            else:
                average.copy_(exported[name])
