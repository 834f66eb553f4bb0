"""Mean teacher: the student agrees, under noise, with the average of its own past.

Tarvainen & Valpola, NeurIPS 2017; constants of SSL4MIS, from which medical tables are made.
"""

from __future__ import annotations

from typing import Literal

import torch

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.fields import Fraction, NonNegative
from arco.losses.consistency import mean_squared
from arco.losses.segmentation import supervised_loss
from arco.mean_teacher import MeanTeacher
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        delay: share of the run without consistency: a teacher of the first steps harms.
        noise: standard deviation of what is added to the teacher's images.
        ema_decay: of the teacher.
        tested: whose weights are kept.
    """

    weight: NonNegative
    ramp: Fraction
    delay: Fraction
    noise: NonNegative
    ema_decay: Fraction
    tested: Literal["student", "teacher"]


class Method(MeanTeacher):
    """L_sup + weight ramp(t) mean (p_student(x) - p_teacher(x + noise))^2, unlabeled images only.

    The original adds noise on both sides and takes labeled images in as well.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings = settings

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of the student on all images, one of the teacher."""
        labeled, settings = batch.labeled_count, self.settings
        with torch.no_grad():
            targets = self.teacher(self.noisy(batch.unlabeled, settings.noise)).softmax(dim=1)
        logits = self.student(batch.images)
        consistency = mean_squared(logits[labeled:].softmax(dim=1), targets, batch.unlabeled_frame)
        started = progress.fraction >= settings.delay
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp) * started
        supervised = supervised_loss(logits[:labeled], batch.labels)
        return StepOutput.of(supervised, {"consistency": (weight, consistency)})
