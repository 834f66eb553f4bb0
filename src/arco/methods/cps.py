"""Cross pseudo supervision: two networks, each trained on the other's hard predictions.

Chen et al., CVPR 2021, without its CutMix variant.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from arco import fields
from arco.contracts import IGNORE, Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative
from arco.losses.consistency import pseudo_labels
from arco.losses.segmentation import cross_entropy, supervised_loss
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the cross supervision, and after which share of the run it
            holds.
        images: which of them carry it: all (the paper) or the unlabeled ones (SSL4MIS).
    """

    weight: NonNegative
    ramp: Fraction
    images: Literal["all", "unlabeled"]


class Method(Trainable):
    """L_sup of both + weight ramp(t) (CE(f1, argmax f2) + CE(f2, argmax f1)).

    The weight is that of SSL4MIS: the paper's constant 1.5 assumes a backbone pretrained on
    ImageNet, and from random weights locks both networks into the background.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.peer = context.build_network()

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of each network on all images."""
        labeled, settings = batch.labeled_count, self.settings
        both = [self.student(batch.images), self.peer(batch.images)]
        supervised = [supervised_loss(logits[:labeled], batch.labels) for logits in both]
        first = labeled if settings.images == "unlabeled" else 0
        frame = batch.frame[first:]
        own, other = (logits[first:] for logits in both)
        crossed = cross_entropy(own, pseudo_labels(other, frame, IGNORE)) + cross_entropy(
            other, pseudo_labels(own, frame, IGNORE)
        )
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        return StepOutput.of(supervised[0] + supervised[1], {"crossed": (weight, crossed)})

    def exported(self) -> dict[str, Tensor]:
        """The first network; choosing the better of the two would need the test labels."""
        return self.student.state_dict()
