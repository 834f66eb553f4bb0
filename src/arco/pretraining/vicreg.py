"""VICReg: alike views, dimensions that vary and do not repeat each other; no negatives.

Bardes et al., ICLR 2022.
"""

from __future__ import annotations

from lightly.loss.vicreg_loss import VICRegLoss
from lightly.models.modules.heads import ProjectionHead
from torch import Tensor, nn

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import random_view
from arco.fields import NonNegative, PositiveInt, View
from arco.models.projection import ProjectedEncoder, spread


class Settings(fields.Settings):
    """Constants of VICReg.

    Attributes:
        first_view, second_view: how the two views are drawn.
        width: of all three layers of the expander.
        invariance, variance, covariance: weights of the three terms.
    """

    first_view: View
    second_view: View
    width: PositiveInt
    invariance: NonNegative
    variance: NonNegative
    covariance: NonNegative


def expander(features: int, width: int) -> ProjectionHead:
    """Three linear layers, [B, features] -> [B, width], the first two with batch norm and ReLU.

    Without any bias: batch norm takes out the first two, and lightly's `VICRegProjectionHead`
    keeps one in the last layer where the authors' code has none.
    """
    return ProjectionHead(
        [
            (features, width, nn.BatchNorm1d(width), nn.ReLU()),
            (width, width, nn.BatchNorm1d(width), nn.ReLU()),
            (width, width, None, None, False),
        ]
    )


class Method(Trainable):
    """Descends the weighted sum of invariance, variance and covariance."""

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.views = context.randomness.generator("views")
        network = context.student()
        head = expander(network.bottleneck_channels, settings.width)
        self.student = ProjectedEncoder(network, head)
        self.regularized = VICRegLoss(settings.invariance, settings.variance, settings.covariance)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch."""
        first = random_view(batch.images, self.settings.first_view, self.views)
        second = random_view(batch.images, self.settings.second_view, self.views)
        features, embeddings = self.student(first)
        _, others = self.student(second)
        loss = self.regularized(embeddings, others)
        return StepOutput(loss, {"feature_std": spread(features)})

    def exported(self) -> dict[str, Tensor]:
        """The encoder."""
        return self.student.exported()
