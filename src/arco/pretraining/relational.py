"""Relational semi-supervised pretraining, ARCO's first stage (appendix Sec. E).

An image and its patches shall relate alike, for student and teacher, to a bank of other images;
labeled images are segmented besides. Parents: ISD (ICCV 2021) and ACTION (You et al., IPMI 2023).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import apply_intensity, draw_intensity
from arco.errors import ArcoError
from arco.fields import Fraction, NonNegative, Positive, PositiveInt
from arco.losses.relational import relational_loss
from arco.losses.segmentation import supervised_loss
from arco.models.backbone import Backbone
from arco.models.local_windows import cells_per_axis, pool_to_cells, windows_of
from arco.models.memory_bank import MemoryBank
from arco.models.projection import global_average, mlp
from arco.models.teacher import Teacher


class Settings(fields.Settings):
    """Constants of the relational pretraining.

    Attributes:
        student_temperature, teacher_temperature: of the softmax over similarities.
        memory_bank: mined images whose embeddings are kept.
        embedding: width of the global embedding.
        hidden: inner width of the global projector.
        local_windows: windows per axis; neighbors overlap by half.
        local_pooling: each window is pooled to so many cells per axis; even.
        ema_decay: of the teacher.
        jitter: change of intensity between the views.
    """

    class Jitter(fields.Settings):
        """Largest change of the brightness and contrast factors from 1; blur in pixels.

        `probability` holds for brightness and contrast together, and again for the blur.
        """

        brightness: Fraction
        contrast: Fraction
        blur_min: NonNegative
        blur_max: NonNegative
        probability: Fraction

    student_temperature: Positive
    teacher_temperature: Positive
    memory_bank: PositiveInt
    embedding: PositiveInt
    hidden: PositiveInt
    local_windows: PositiveInt
    local_pooling: Annotated[int, Field(ge=2, multiple_of=2)]
    ema_decay: Fraction
    jitter: Jitter


class Embedded(NamedTuple):
    """Logits [B, C, *S], global embeddings [B, D] and cells [B, *cells, C] of images."""

    logits: Tensor
    whole: Tensor
    cells: Tensor


class Embedder(nn.Module):
    """The network with both projectors: what the teacher is an average of.

    Args:
        network: the segmentation network.
        classes: C.
        settings: widths and window sizes.
    """

    def __init__(self, network: Backbone, classes: int, settings: Settings) -> None:
        super().__init__()
        self.network = network
        self.cells = cells_per_axis(settings.local_windows, settings.local_pooling)
        width = network.feature_channels[0]
        self.global_projector = mlp(width, settings.hidden, settings.embedding)
        self.local_projector = mlp(classes, 2 * classes, classes)

    def forward(self, images: Tensor) -> Embedded:
        """Embed images [B, channels, *S]."""
        pyramid = self.network.features(images)
        logits = self.network.classify(pyramid[-1])
        whole = self.global_projector(global_average(pyramid[0]))
        return Embedded(logits, whole, self.local_projector(pool_to_cells(logits, self.cells)))


class Method(Trainable):
    """Descends the global and the local relational loss and the supervised loss, all weights 1.

    Reading of the appendix: the teacher has no predictor; references are a bank of teacher
    embeddings, to which every step first adds its mined images. It starts empty and is full after
    `memory_bank` / mined steps. Both views share the batch's geometry, so that windows correspond,
    and differ in intensity; labeled images are segmented as they come.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.jitter = context.randomness.generator("views")
        classes, width, pooling = context.classes, settings.embedding, settings.local_pooling
        self.student = Embedder(context.student(), classes, settings)
        if min(context.image_size) < self.student.cells:
            raise ArcoError(
                f"params.yaml: pretraining.relational.local_pooling and local_windows ask for "
                f"{self.student.cells} cells along {min(context.image_size)} pixels; lower them"
            )
        self.global_predictor = mlp(width, width, width)
        self.local_predictor = mlp(classes, classes, classes)
        self.teacher = Teacher(self.student)
        axes = context.spatial_axes
        windows = (settings.local_windows**axes, classes * pooling**axes)
        capacity = min(settings.memory_bank, context.training_items)
        self.bank = MemoryBank(capacity, (width,), windows)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch.

        Raises:
            ArcoError: the batch has no unlabeled or no mined images.
        """
        if not len(batch.unlabeled) or not len(batch.mined):
            raise ArcoError(
                "params.yaml: pretraining.relational.training.batch needs unlabeled and mined "
                "images; set both above 0"
            )
        references, targets = self._embed_by_teacher(batch)
        self.bank.push(*references)
        student = self.student(torch.cat([batch.labeled, self._jittered(batch.unlabeled)]))
        supervised = supervised_loss(student.logits[: batch.labeled_count], batch.labels)
        whole = self.global_predictor(student.whole[batch.labeled_count :])
        cells = self.local_predictor(student.cells[batch.labeled_count :])
        windows = windows_of(cells, self.settings.local_pooling)
        whole_bank, window_bank = self.bank.contents()
        whole_loss = self._relate(whole, targets[0], whole_bank)
        window_loss = self._relate(windows, targets[1].transpose(0, 1), window_bank.transpose(0, 1))
        logs = {"supervised": supervised, "global": whole_loss, "local": window_loss}
        return StepOutput(
            whole_loss + window_loss + supervised,
            {name: value.detach() for name, value in logs.items()},
        )

    @torch.no_grad()
    def _embed_by_teacher(self, batch: Batch) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Global embeddings [n, D] and windows [n, W, D'] of mined and of unlabeled images."""
        mined = len(batch.mined)
        images = self._jittered(torch.cat([batch.mined, batch.unlabeled]))
        embedded = self.teacher.module(images)
        windows = windows_of(embedded.cells, self.settings.local_pooling).transpose(0, 1)
        return (
            (embedded.whole[:mined], windows[:mined]),
            (embedded.whole[mined:], windows[mined:]),
        )

    def _jittered(self, images: Tensor) -> Tensor:
        jitter = self.settings.jitter
        intensity = draw_intensity(
            len(images),
            jitter=jitter.probability,
            strength=(jitter.brightness, jitter.contrast),
            blur=jitter.probability,
            sigma=(jitter.blur_min, jitter.blur_max),
            solarize=0.0,
            generator=self.jitter,
        )
        return apply_intensity(images, intensity)

    def _relate(self, student: Tensor, teacher: Tensor, bank: Tensor) -> Tensor:
        return relational_loss(
            student,
            teacher,
            bank,
            student_temperature=self.settings.student_temperature,
            teacher_temperature=self.settings.teacher_temperature,
        )

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher."""
        self.teacher.update(self.student, self.settings.ema_decay)

    def exported(self) -> dict[str, Tensor]:
        """The student's network."""
        return self.student.network.state_dict()
