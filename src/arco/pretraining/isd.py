"""ISD: student and teacher relate an image alike to a bank of others.

Tejankar et al., ICCV 2021 (the version with projector, predictor and two temperatures).
"""

from __future__ import annotations

import torch
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import random_view
from arco.fields import Fraction, Positive, PositiveInt, View
from arco.losses.relational import relational_loss
from arco.models.memory_bank import MemoryBank
from arco.models.projection import ProjectedEncoder, spread
from arco.models.teacher import Teacher


class Settings(fields.Settings):
    """Constants of ISD.

    Attributes:
        student_view, teacher_view: how the two views are drawn; the teacher's is the weaker.
        hidden, embedding: widths of projector and predictor.
        memory_bank: teacher embeddings kept, at most one for each training image.
        student_temperature, teacher_temperature: of the softmax over similarities.
        ema_decay: of the teacher.
    """

    student_view: View
    teacher_view: View
    hidden: PositiveInt
    embedding: PositiveInt
    memory_bank: PositiveInt
    student_temperature: Positive
    teacher_temperature: Positive
    ema_decay: Fraction


class Method(Trainable):
    """Descends KL(teacher || student); the student alone has a predictor.

    The heads are of BYOL's form at ISD's widths. Bounded and started like
    `arco.pretraining.mocov2`.
    """

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
        capacity = min(settings.memory_bank, context.training_items)
        self.bank = MemoryBank(capacity, (embedding,))

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch; its teacher embeddings join the bank afterwards."""
        strong = random_view(batch.images, self.settings.student_view, self.views)
        weak = random_view(batch.images, self.settings.teacher_view, self.views)
        features, projections = self.student(strong)
        with torch.no_grad():
            _, targets = self.teacher.module(weak)
        (bank,) = self.bank.contents()
        loss = relational_loss(
            self.predictor(projections),
            targets,
            bank,
            student_temperature=self.settings.student_temperature,
            teacher_temperature=self.settings.teacher_temperature,
        )
        self.bank.push(targets)
        return StepOutput(loss, {"feature_std": spread(features)})

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher."""
        self.teacher.update(self.student, self.settings.ema_decay)

    def exported(self) -> dict[str, Tensor]:
        """The student's encoder."""
        return self.student.exported()
