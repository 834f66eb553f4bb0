"""Entropy minimisation: predictions on unlabeled pixels shall be certain.

Grandvalet & Bengio, NeurIPS 2004; for segmentation the direct entropy loss of ADVENT (Vu et al.,
CVPR 2019), without its adversarial branch.
"""

from __future__ import annotations

from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative
from arco.losses.consistency import masked_mean, relative_entropy
from arco.losses.segmentation import supervised_loss
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight: of the entropy, when the ramp is over.
        ramp: its length, as a share of the run.
    """

    weight: NonNegative
    ramp: Fraction


class Method(Trainable):
    """L_sup + weight ramp(t) mean entropy / ln C, over unlabeled pixels as in ADVENT.

    SSL4MIS averages over labeled images too and divides by the logarithm of a fixed class count.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass on all images."""
        labeled, settings = batch.labeled_count, self.settings
        logits = self.student(batch.images)
        entropy = masked_mean(relative_entropy(logits[labeled:]), batch.unlabeled_frame)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        supervised = supervised_loss(logits[:labeled], batch.labels)
        return StepOutput.of(supervised, {"entropy": (weight, entropy)})

    def exported(self) -> dict[str, Tensor]:
        """The student."""
        return self.student.state_dict()
