"""Supervised training on the labeled images alone: UNet-F with all labels, UNet-L with few.

Ronneberger et al., MICCAI 2015. The two rows of the tables are this one method with another list
of labeled cases.
"""

from __future__ import annotations

from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.losses.segmentation import supervised_loss


class Settings(fields.Settings):
    """Plain supervision has no constants of its own."""


class Method(Trainable):
    """Descends the mean of cross-entropy and Dice loss (appendix Sec. C)."""

    def __init__(self, settings: Settings, context: Context) -> None:  # noqa: ARG002
        super().__init__()
        self.student = context.student()

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The supervised loss of the labeled images."""
        loss = supervised_loss(self.student(batch.labeled), batch.labels)
        return StepOutput(loss, {"supervised": loss.detach()})

    def exported(self) -> dict[str, Tensor]:
        """The student."""
        return self.student.state_dict()
