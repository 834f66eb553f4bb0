"""Uncertainty-aware mean teacher: consistency only where the teacher is certain.

Yu et al., MICCAI 2019. Certainty is the entropy of the mean of several teacher passes, each with
its own noise and dropout; the threshold rises during training until nothing is left out.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.fields import Fraction, NonNegative, PositiveInt
from arco.losses.consistency import masked_mean, mean_squared
from arco.losses.segmentation import supervised_loss
from arco.mean_teacher import MeanTeacher
from arco.schedules import ramp_up

SMALLEST = 1e-6
"""Added inside the logarithm, as in the authors' code."""


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        passes: of the teacher, for the uncertainty.
        threshold: share of the largest entropy, ln C, below which a pixel counts at first; it
            rises to 1 along a ramp over the whole run.
        noise: standard deviation of what is added to the teacher's images.
        ema_decay: of the teacher.
        tested: whose weights are kept.
    """

    weight: NonNegative
    ramp: Fraction
    passes: PositiveInt
    threshold: Fraction
    noise: NonNegative
    ema_decay: Fraction
    tested: Literal["student", "teacher"]


class Method(MeanTeacher):
    """Mean teacher with a mask.

    Threshold and mean are by the number of classes; SSL4MIS keeps those of two classes (ln 2, and
    2 in the denominator) whatever there are. Both agree with the paper at C = 2.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings = settings

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of the student, `passes` + 1 of the teacher."""
        labeled, settings = batch.labeled_count, self.settings
        targets, uncertainty = self._teach(batch.unlabeled)
        logits = self.student(batch.images)
        certain = uncertainty < self.threshold(progress, targets.shape[1])
        counted = certain & batch.unlabeled_frame
        consistency = mean_squared(logits[labeled:].softmax(dim=1), targets, counted)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        supervised = supervised_loss(logits[:labeled], batch.labels)
        output = StepOutput.of(supervised, {"consistency": (weight, consistency)})
        output.logs["certain"] = masked_mean(certain.float(), batch.unlabeled_frame)
        return output

    def threshold(self, progress: Progress, classes: int) -> float:
        """Entropy below which a pixel counts, (a + (1 - a) ramp) ln C."""
        start = self.settings.threshold
        return (start + (1 - start) * ramp_up(progress.fraction, 1.0)) * math.log(classes)

    @torch.no_grad()
    def _teach(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [U, C, *S] of one pass, and entropy [U, *S] of the mean of the others."""
        settings, mean = self.settings, torch.tensor(0.0)
        for _ in range(settings.passes):
            # A running sum: keeping every pass would take gigabytes over volumes.
            probs = self.teacher(self.noisy(images, settings.noise)).softmax(dim=1)
            mean = mean.to(probs) + probs / settings.passes
        uncertainty = -(mean * (mean + SMALLEST).log()).sum(dim=1)
        return self.teacher(self.noisy(images, settings.noise)).softmax(dim=1), uncertainty
