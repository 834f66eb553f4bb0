"""Rotation consistency, the method SSL4MIS calls deep co-training.

One network, quarter turns: predicting and turning shall commute. Kept beside `arco.methods.dct`,
because published tables may well mean this one.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative
from arco.losses.consistency import mean_squared
from arco.losses.segmentation import supervised_loss
from arco.models.normalization import kept_statistics
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
    """

    square_images: ClassVar[bool] = True
    weight: NonNegative
    ramp: Fraction


class Method(Trainable):
    """L_sup + weight ramp(t) mean (f(r x) - r f(x))^2 over unlabeled images, r a quarter turn.

    Each side is the other's constant target in turn, as in SSL4MIS: the value is the mean square,
    the gradient half of that without any detaching. Volumes turn in their last two axes.
    Deviation: batch-norm statistics are not gathered from turned images.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.generator = context.randomness.generator("views")

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; a pass on all images and one on the turned unlabeled ones."""
        labeled, settings = batch.labeled_count, self.settings
        quarters = int(torch.randint(4, (), generator=self.generator, device=self.generator.device))
        logits = self.student(batch.images)
        with kept_statistics(self.student):  # test images are not turned
            turned = self.student(torch.rot90(batch.unlabeled, quarters, (-2, -1)))
        first = torch.rot90(logits[labeled:].softmax(dim=1), quarters, (-2, -1))
        second = turned.softmax(dim=1)
        frame = torch.rot90(batch.unlabeled_frame, quarters, (-2, -1))
        consistency = (
            mean_squared(first, second.detach(), frame)
            + mean_squared(second, first.detach(), frame)
        ) / 2
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        supervised = supervised_loss(logits[:labeled], batch.labels)
        return StepOutput.of(supervised, {"consistency": (weight, consistency)})

    def exported(self) -> dict[str, Tensor]:
        """The student."""
        return self.student.state_dict()
