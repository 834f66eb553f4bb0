"""Interpolation consistency: the prediction for a mix is the mix of the predictions.

Verma et al., IJCAI 2019.
"""

from __future__ import annotations

from typing import Literal

import torch

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.errors import ArcoError
from arco.fields import Fraction, NonNegative, Positive
from arco.losses.consistency import mean_squared
from arco.losses.segmentation import supervised_loss
from arco.mean_teacher import MeanTeacher
from arco.mixing import draw_beta, interpolate
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        concentration: a of Beta(a, a), from which the shares of a mix are drawn.
        ema_decay: of the teacher.
        tested: whose weights are kept.
    """

    weight: NonNegative
    ramp: Fraction
    concentration: Positive
    ema_decay: Fraction
    tested: Literal["student", "teacher"]


class Method(MeanTeacher):
    """Mixes the first half of the unlabeled images with the second, a share for each pair.

    As in SSL4MIS probabilities are mixed, where the authors' code mixes logits; the original pairs
    each image with another of the batch and mixes labeled ones too. An odd image is left out.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings = settings
        self._shares = context.randomness.generator("mixing")

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; the student sees labeled images and mixes.

        Raises:
            ArcoError: there are not two unlabeled images to mix.
        """
        labeled, settings = batch.labeled_count, self.settings
        pairs = len(batch.unlabeled) // 2
        if not pairs:
            raise ArcoError(
                "params.yaml: ict mixes pairs of unlabeled images; set training.batch.unlabeled "
                "to 2 or more"
            )
        first, second = batch.unlabeled[:pairs], batch.unlabeled[pairs : 2 * pairs]
        shares = draw_beta(pairs, settings.concentration, self._shares)
        with torch.no_grad():
            probs = self.teacher(torch.cat([first, second])).softmax(dim=1)
            targets = interpolate(probs[:pairs], probs[pairs:], shares)
        mixed = interpolate(first, second, shares)
        logits = self.student(torch.cat([batch.labeled, mixed]))
        frame = batch.unlabeled_frame
        both = frame[:pairs] & frame[pairs : 2 * pairs]
        consistency = mean_squared(logits[labeled:].softmax(dim=1), targets, both)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        supervised = supervised_loss(logits[:labeled], batch.labels)
        return StepOutput.of(supervised, {"consistency": (weight, consistency)})
