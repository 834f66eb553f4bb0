"""SimCLR: the other view of an image among all other views of the batch.

Chen et al., ICML 2020.
"""

from __future__ import annotations

import torch
from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import random_view
from arco.fields import Positive, PositiveInt, View
from arco.models.projection import ProjectedEncoder, spread


class Settings(fields.Settings):
    """Constants of SimCLR.

    Attributes:
        first_view, second_view: how the two views are drawn.
        hidden, embedding: widths of the projection head.
        temperature: of the softmax over similarities.
    """

    first_view: View
    second_view: View
    hidden: PositiveInt
    embedding: PositiveInt
    temperature: Positive


class Method(Trainable):
    """Descends NT-Xent, the mean over all 2B views; both views pass the network as one batch."""

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.views = context.randomness.generator("views")
        network = context.student()
        head = SimCLRProjectionHead(
            network.bottleneck_channels, settings.hidden, settings.embedding
        )
        self.student = ProjectedEncoder(network, head)
        self.contrast = NTXentLoss(settings.temperature)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch."""
        first = random_view(batch.images, self.settings.first_view, self.views)
        second = random_view(batch.images, self.settings.second_view, self.views)
        features, embeddings = self.student(torch.cat([first, second]))
        loss = self.contrast(*embeddings.chunk(2))
        return StepOutput(loss, {"feature_std": spread(features)})

    def exported(self) -> dict[str, Tensor]:
        """The encoder."""
        return self.student.exported()
