"""MoCo v2: an image's other view among a bank of other images' keys.

He et al., CVPR 2020; Chen et al. 2020 (arXiv 2003.04297).
"""

from __future__ import annotations

import torch
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import random_view
from arco.fields import Fraction, Positive, PositiveInt, View
from arco.losses.contrastive import info_nce
from arco.models.memory_bank import MemoryBank
from arco.models.projection import ProjectedEncoder, spread
from arco.models.teacher import Teacher


class Settings(fields.Settings):
    """Constants of MoCo v2.

    Attributes:
        student_view, teacher_view: how the two views are drawn.
        hidden, embedding: widths of the projection head.
        memory_bank: keys kept, at most one for each training image.
        temperature: of the softmax over similarities.
        ema_decay: of the teacher.
    """

    student_view: View
    teacher_view: View
    hidden: PositiveInt
    embedding: PositiveInt
    memory_bank: PositiveInt
    temperature: Positive
    ema_decay: Fraction


class Method(Trainable):
    """Descends InfoNCE of the student's queries; keys and bank are the teacher's.

    Deviations: the bank holds no more entries than there are training images, because copies of
    the query would count as negatives; it starts empty instead of random. Batches are not
    shuffled for batch norm, which matters with several devices only.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.views = context.randomness.generator("views")
        network = context.student()
        head = MoCoProjectionHead(network.bottleneck_channels, settings.hidden, settings.embedding)
        self.student = ProjectedEncoder(network, head)
        self.teacher = Teacher(self.student)
        capacity = min(settings.memory_bank, context.training_items)
        self.bank = MemoryBank(capacity, (settings.embedding,))

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch; its keys join the bank afterwards."""
        queries_from = random_view(batch.images, self.settings.student_view, self.views)
        keys_from = random_view(batch.images, self.settings.teacher_view, self.views)
        features, queries = self.student(queries_from)
        with torch.no_grad():
            _, keys = self.teacher.module(keys_from)
        (negatives,) = self.bank.contents()
        loss = info_nce(queries, keys, negatives, self.settings.temperature)
        self.bank.push(keys)
        return StepOutput(loss, {"feature_std": spread(features)})

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher."""
        self.teacher.update(self.student, self.settings.ema_decay)

    def exported(self) -> dict[str, Tensor]:
        """The student's encoder."""
        return self.student.exported()
