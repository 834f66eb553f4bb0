"""Deep adversarial network: predictions on unlabeled images shall look like labeled ones'.

Zhang et al., MICCAI 2017, with the discriminator and constants of SSL4MIS.
"""

from __future__ import annotations

from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative, PositiveInt
from arco.losses.segmentation import supervised_loss
from arco.models.discriminator import Adversary, Discriminator, in_evaluation
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the adversarial term, and after which share of the run it
            holds.
        discriminator_width: channels of the discriminator's first layer.
    """

    weight: NonNegative
    ramp: Fraction
    discriminator_width: PositiveInt


class Method(Trainable):
    """L_sup + weight ramp(t) CE(D(p, x), labeled) over unlabeled images.

    After each update the discriminator learns from predictions that the new network makes in
    evaluation mode.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.adversary = Adversary(
            Discriminator(
                context.classes,
                context.channels,
                settings.discriminator_width,
                context.spatial_axes,
            )
        )
        self._seen: Batch | None = None

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The segmentation network's loss of one batch."""
        labeled, settings = batch.labeled_count, self.settings
        logits = self.student(batch.images)
        supervised = supervised_loss(logits[:labeled], batch.labels)
        adversarial = self.adversary.fooled(logits[labeled:].softmax(dim=1), batch.unlabeled)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        self._seen = batch
        return StepOutput.of(supervised, {"adversarial": (weight, adversarial)})

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Train the discriminator on the batch of this step."""
        if self._seen is not None:
            batch, self._seen = self._seen, None
            probs = in_evaluation(self.student, batch.images).softmax(dim=1)
            self.adversary.update(probs, batch.images, batch.labeled_count)

    def exported(self) -> dict[str, Tensor]:
        """The segmentation network."""
        return self.student.state_dict()
