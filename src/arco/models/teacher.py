"""The teacher: an exponential moving average of the student's weights.

Tarvainen & Valpola, NeurIPS 2017; appendix Sec. C.
"""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from arco.models.memory_format import channels_last

Averaged = TypeVar("Averaged", bound=nn.Module)


def ema_decay(step: int, decay: float, *, warm_up: bool) -> float:
    """How much of the teacher survives the update that follows optimizer step `step`.

    Args:
        step: index of the optimizer step, from 0.
        decay: the value in the long run, in [0, 1).
        warm_up: start at 0 (the first update copies the student, whatever the teacher was) and
            average all students so far with equal weights until `decay` is reached. The original
            code counts from 1, so that its first value is 1/2.
    """
    return min(1 - 1 / (step + 1), decay) if warm_up else decay


class Teacher(nn.Module, Generic[Averaged]):
    """A copy of a student that follows it slowly and is never trained itself.

    Only parameters are averaged. Batch-norm statistics are the teacher's own: during training it
    stays in train mode, with dropout and the statistics of its own batches, as in the public code
    of the field.

    Args:
        student: copied with its present weights and buffers.

    Attributes:
        module: the copy; its parameters require no gradient.
    """

    module: Averaged

    def __init__(self, student: Averaged) -> None:
        super().__init__()
        self.module = channels_last(copy.deepcopy(student)).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """What the copied module makes of images."""
        return self.module(images)  # type: ignore[no-any-return]

    @torch.no_grad()
    def update(self, student: nn.Module, decay: float) -> None:
        """Move each parameter to decay * teacher + (1 - decay) * student."""
        torch._foreach_lerp_(
            list(self.module.parameters()), list(student.parameters()), weight=1 - decay
        )

    def exported(self, student: nn.Module) -> dict[str, Tensor]:
        """The teacher's weights with the student's batch-norm statistics, for testing.

        Its own were gathered from unlabeled images alone (in most methods, noisy ones).
        """
        theirs = student.state_dict()
        averaged = {name for name, _ in self.module.named_parameters()}
        return {
            name: tensor if name in averaged else theirs[name]
            for name, tensor in self.module.state_dict().items()
        }
