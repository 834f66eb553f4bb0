"""Dual-task consistency: the mask and the signed distance map of a network agree.

Luo et al., AAAI 2021.
"""

from __future__ import annotations

from torch import Tensor

from arco import fields
from arco.contracts import IGNORE, Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative, Positive
from arco.losses.consistency import mean_squared
from arco.losses.segmentation import dice_loss
from arco.losses.signed_distance import signed_distances, soft_mask
from arco.models.backbone import Backbone
from arco.models.two_tasks import TwoTasks
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        distance_weight: of the supervised distances.
        slope: of the sigmoid that turns distances into a mask.
    """

    weight: NonNegative
    ramp: Fraction
    distance_weight: NonNegative
    slope: Positive


class Method(Trainable):
    """Dice + b mean (z - z*)^2 + weight ramp(t) mean (sigmoid(-k z) - p)^2, the last on all images.

    b = 0.3 is the authors' code's, which the paper does not mention. Over several organs the
    consistency is the mean over foreground classes.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.classes = context.classes
        self.tasks = TwoTasks(context.student(), context.classes)

    @property
    def student(self) -> Backbone:
        """The network without the distance head."""
        return self.tasks.network

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of the network."""
        labeled, settings = batch.labeled_count, self.settings
        logits, distances = self.tasks(batch.images)
        targets = signed_distances(batch.labels, self.classes)
        inside = batch.labels != IGNORE
        supervised = dice_loss(
            logits[:labeled], batch.labels
        ) + settings.distance_weight * mean_squared(distances[:labeled], targets, inside)
        masks = soft_mask(distances, settings.slope)
        consistency = mean_squared(masks, logits.softmax(dim=1)[:, 1:], batch.frame)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        return StepOutput.of(supervised, {"consistency": (weight, consistency)})

    def exported(self) -> dict[str, Tensor]:
        """The network without the distance head."""
        return self.student.state_dict()
