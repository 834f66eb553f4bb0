"""MoCo with a nearest-neighbor term: Van Gansbeke et al., NeurIPS 2021.

Keys whose backbone features lie nearest to the query's are further positives. The paper's
multi-crop and AutoAugment are separate proposals and are not used.
"""

from __future__ import annotations

import torch
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import random_view
from arco.fields import Fraction, NonNegative, Positive, PositiveInt, View
from arco.losses.contrastive import info_nce, neighbor_cross_entropy
from arco.models.memory_bank import MemoryBank
from arco.models.projection import ProjectedEncoder, spread
from arco.models.teacher import Teacher


class Settings(fields.Settings):
    """Constants of kNN-MoCo.

    Attributes:
        student_view, teacher_view: how the two views are drawn.
        hidden, embedding: widths of the projection head.
        memory_bank: entries kept, at most one for each training image.
        neighbors: bank entries that count as positives of a query.
        neighbor_weight: of the neighbor term.
        temperature: of the softmax over similarities.
        ema_decay: of the teacher.
    """

    student_view: View
    teacher_view: View
    hidden: PositiveInt
    embedding: PositiveInt
    memory_bank: PositiveInt
    neighbors: PositiveInt
    neighbor_weight: NonNegative
    temperature: Positive
    ema_decay: Fraction


class Method(Trainable):
    """Descends InfoNCE plus the neighbor term.

    The bank keeps each key beside the backbone features it was projected from; both columns are
    pushed after the loss, so that no entry pairs features and keys of different images. Bounded
    and started like `arco.pretraining.mocov2`.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.views = context.randomness.generator("views")
        network = context.student()
        width = network.bottleneck_channels
        head = MoCoProjectionHead(width, settings.hidden, settings.embedding)
        self.student = ProjectedEncoder(network, head)
        self.teacher = Teacher(self.student)
        capacity = min(settings.memory_bank, context.training_items)
        self.bank = MemoryBank(capacity, (settings.embedding,), (width,))

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch; its keys and features join the bank afterwards."""
        settings = self.settings
        queries_from = random_view(batch.images, settings.student_view, self.views)
        keys_from = random_view(batch.images, settings.teacher_view, self.views)
        features, queries = self.student(queries_from)
        with torch.no_grad():
            key_features, keys = self.teacher.module(keys_from)
        bank, feature_bank = self.bank.contents()
        contrast = info_nce(queries, keys, bank, settings.temperature)
        neighbor = neighbor_cross_entropy(
            queries,
            bank,
            features,
            feature_bank,
            neighbors=settings.neighbors,
            temperature=settings.temperature,
        )
        self.bank.push(keys, key_features)
        logs = {
            "contrast": contrast.detach(),
            "neighbor": neighbor.detach(),
            "feature_std": spread(features),
        }
        return StepOutput(contrast + settings.neighbor_weight * neighbor, logs)

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher."""
        self.teacher.update(self.student, self.settings.ema_decay)

    def exported(self) -> dict[str, Tensor]:
        """The student's encoder."""
        return self.student.exported()
