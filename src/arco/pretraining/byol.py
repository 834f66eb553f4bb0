"""BYOL: predict the teacher's projection of the other view; no negatives.

Grill et al., NeurIPS 2020.
"""

from __future__ import annotations

import math

import torch
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import random_view
from arco.fields import Fraction, PositiveInt, View
from arco.losses.contrastive import byol_loss
from arco.models.projection import ProjectedEncoder, spread
from arco.models.teacher import Teacher


class Settings(fields.Settings):
    """Constants of BYOL.

    Attributes:
        first_view, second_view: how the two views are drawn.
        hidden, embedding: widths of projector and predictor.
        ema_decay: of the teacher at the first step; it rises to 1 along a cosine.
    """

    first_view: View
    second_view: View
    hidden: PositiveInt
    embedding: PositiveInt
    ema_decay: Fraction


class Method(Trainable):
    """Descends the sum of both directions; encoder and projector have a teacher."""

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.views = context.randomness.generator("views")
        network = context.student()
        hidden, embedding = settings.hidden, settings.embedding
        head = BYOLProjectionHead(network.bottleneck_channels, hidden, embedding)
        self.student = ProjectedEncoder(network, head)
        self.predictor = BYOLPredictionHead(embedding, hidden, embedding)
        self.teacher = Teacher(self.student)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch."""
        first = random_view(batch.images, self.settings.first_view, self.views)
        second = random_view(batch.images, self.settings.second_view, self.views)
        features, first_projection = self.student(first)
        _, second_projection = self.student(second)
        with torch.no_grad():
            _, first_target = self.teacher.module(first)
            _, second_target = self.teacher.module(second)
        forward = byol_loss(self.predictor(first_projection), second_target)
        backward = byol_loss(self.predictor(second_projection), first_target)
        return StepOutput(forward + backward, {"feature_std": spread(features)})

    def after_update(self, progress: Progress) -> None:
        """Move the teacher, the slower the nearer the end."""
        remaining = (1 + math.cos(math.pi * progress.fraction)) / 2
        self.teacher.update(self.student, 1 - (1 - self.settings.ema_decay) * remaining)

    def exported(self) -> dict[str, Tensor]:
        """The student's encoder."""
        return self.student.exported()
