"""SASSNet: signed distance maps of unlabeled images shall look like labeled ones'.

Li, Zhang & He, MICCAI 2020.
"""

from __future__ import annotations

from torch import Tensor

from arco import fields
from arco.contracts import IGNORE, Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative, PositiveInt
from arco.losses.consistency import mean_squared
from arco.losses.segmentation import dice_loss
from arco.losses.signed_distance import signed_distances
from arco.models.backbone import Backbone
from arco.models.discriminator import Adversary, Discriminator, in_evaluation
from arco.models.two_tasks import TwoTasks
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the adversarial term, and after which share of the run it
            holds.
        distance_weight: of the supervised distances.
        discriminator_width: channels of the discriminator's first layer.
    """

    weight: NonNegative
    ramp: Fraction
    distance_weight: NonNegative
    discriminator_width: PositiveInt


class Method(Trainable):
    """Dice + a mean (z - z*)^2 + weight ramp(t) CE(D(z, x), labeled) over unlabeled images.

    The mask head takes no part in the adversarial term, and nothing ties the two heads together
    (that is DTC). The discriminator learns after each update, as in `arco.methods.dan`.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.classes = context.classes
        self.tasks = TwoTasks(context.student(), context.classes)
        judge = Discriminator(
            self.classes - 1, context.channels, settings.discriminator_width, context.spatial_axes
        )
        self.adversary = Adversary(judge)
        self._last: Batch | None = None

    @property
    def student(self) -> Backbone:
        """The network without the distance head."""
        return self.tasks.network

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The segmentation network's loss of one batch."""
        labeled, settings = batch.labeled_count, self.settings
        logits, distances = self.tasks(batch.images)
        targets = signed_distances(batch.labels, self.classes)
        inside = batch.labels != IGNORE
        squares = mean_squared(distances[:labeled], targets, inside)
        supervised = dice_loss(logits[:labeled], batch.labels) + settings.distance_weight * squares
        adversarial = self.adversary.fooled(distances[labeled:], batch.unlabeled)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        self._last = batch
        return StepOutput.of(supervised, {"adversarial": (weight, adversarial)})

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Train the discriminator on the batch of this step."""
        if self._last is not None:
            batch, self._last = self._last, None
            _, distances = in_evaluation(self.tasks, batch.images)
            self.adversary.update(distances, batch.images, batch.labeled_count)

    def exported(self) -> dict[str, Tensor]:
        """The network without the distance head."""
        return self.student.state_dict()
