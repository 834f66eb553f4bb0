"""Relational semi-supervised pretraining, ARCO's first stage (appendix Sec. E).

An image and its patches shall relate alike, for student and teacher, to a bank of other images;
labeled images are segmented besides. Parents: ISD (ICCV 2021) and ACTION (You et al., IPMI 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal, NamedTuple

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
from arco.models.local_windows import cells_of, pool_to_cells, windows_of
from arco.models.memory_bank import MemoryBank
from arco.models.projection import effective_rank, global_average, mlp
from arco.models.teacher import Teacher


class Settings(fields.Settings):
    """Constants of the relational pretraining.

    Attributes:
        global_weight, local_weight: of the two relational losses.
        student_temperature, teacher_temperature: of the softmax over similarities.
        memory_bank: mined images whose embeddings are kept.
        embedding: width of the global embedding.
        hidden: inner width of the global projector.
        local_maps: what the windows are cut from, the last maps of the decoder or the logits.
        local_windows: windows along each axis, one number for all or [Z, H, W]; neighbors overlap
            by half.
        local_pooling: each window is pooled to so many cells per axis; even.
        ema_decay: of the teacher.
        global_share: share of the run, at its start, in which the encoder alone learns the global
            relation; ACTION's first stage.
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

    global_weight: NonNegative
    local_weight: NonNegative
    student_temperature: Positive
    teacher_temperature: Positive
    memory_bank: PositiveInt
    embedding: PositiveInt
    hidden: PositiveInt
    local_maps: Literal["decoder", "logits"]
    local_windows: PositiveInt | Annotated[list[PositiveInt], Field(min_length=2, max_length=3)]
    local_pooling: Annotated[int, Field(ge=2, multiple_of=2)]
    ema_decay: Fraction
    global_share: Fraction
    jitter: Jitter


class Embedded(NamedTuple):
    """What both networks make of images.

    Attributes:
        logits: [B, C, *S].
        pooled: [B, F], the bottleneck averaged over space.
        whole: [B, D], global embeddings of it.
        cells: [B, *cells, channels], local embeddings.
    """

    logits: Tensor
    pooled: Tensor
    whole: Tensor
    cells: Tensor


class Relations(NamedTuple):
    """Pooled features [n, F], global embeddings [n, D] and windows [n, W, D'] of images."""

    pooled: Tensor
    whole: Tensor
    windows: Tensor


def windows_along(windows: int | Sequence[int], spatial_axes: int) -> tuple[int, ...]:
    """Windows along each axis, from the setting `local_windows`.

    Raises:
        ArcoError: it lists another number of axes.
    """
    counts = (windows,) * spatial_axes if isinstance(windows, int) else tuple(windows)
    if len(counts) != spatial_axes:
        raise ArcoError(
            f"params.yaml: pretraining.relational.local_windows has {len(counts)} numbers where "
            f"images have {spatial_axes} axes; give one number, or one for each axis"
        )
    return counts


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
        self.windows = windows_along(settings.local_windows, network.spatial_axes)
        self.cells = cells_of(self.windows, settings.local_pooling)
        width = network.bottleneck_channels
        self.global_projector = mlp(width, settings.hidden, settings.embedding)
        self.local_logits = settings.local_maps == "logits"
        self.local_channels = classes if self.local_logits else network.feature_channels[-1]
        channels = self.local_channels
        self.local_projector = mlp(channels, 2 * channels, channels)

    def forward(self, images: Tensor) -> Embedded:
        """Embed images [B, channels, *S]."""
        encoded = self.network.encode(images)
        finest = self.network.decode(encoded)[-1]
        logits = self.network.classify(finest)
        maps = logits if self.local_logits else finest
        cells = self.local_projector(pool_to_cells(maps, self.cells))
        pooled = global_average(encoded[-1])
        return Embedded(logits, pooled, self.global_projector(pooled), cells)


class Method(Trainable):
    """L_sup + w_g L_inst of whole images + w_l L_inst of their windows.

    ACTION (IPMI 2023) pretrains so as well, but for a first share of the run without the decoder
    and without labels.

    Reading of the appendix: the teacher has no predictor; references are a bank of teacher
    embeddings, to which every step first adds its mined images. It starts empty and is full after
    `memory_bank` / mined steps. Both views share the batch's geometry, so that windows correspond,
    and differ in intensity; labeled images are segmented as they come.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.jitter = context.randomness.generator("views")
        width, pooling = settings.embedding, settings.local_pooling
        self.student = Embedder(context.student(), context.classes, settings)
        channels = self.student.local_channels
        for length, cells in zip(context.image_size, self.student.cells, strict=True):
            if length < cells:
                raise ArcoError(
                    f"params.yaml: pretraining.relational.local_pooling and local_windows ask for "
                    f"{cells} cells along {length} pixels; lower them"
                )
        self.global_predictor = mlp(width, width, width)
        self.local_predictor = mlp(channels, channels, channels)
        self.teacher = Teacher(self.student)
        windows = (prod(self.student.windows), channels * pooling**context.spatial_axes)
        capacity = min(settings.memory_bank, context.training_items)
        features = self.student.network.bottleneck_channels
        self.whole_bank = MemoryBank(capacity, (width,), (features,))
        self.window_bank = MemoryBank(capacity, windows)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch.

        Raises:
            ArcoError: the batch has no unlabeled or no mined images.
        """
        if not len(batch.unlabeled) or not len(batch.mined):
            raise ArcoError(
                "params.yaml: pretraining.relational.training.batch needs unlabeled and mined "
                "images; set both above 0"
            )
        if progress.fraction < self.settings.global_share:
            return self._global_step(batch)
        references, targets = self._embed_by_teacher(batch)
        self.whole_bank.push(references.whole, references.pooled)
        self.window_bank.push(references.windows)
        student = self.student(torch.cat([batch.labeled, self._jittered(batch.unlabeled)]))
        supervised = supervised_loss(student.logits[: batch.labeled_count], batch.labels)
        whole = self.global_predictor(student.whole[batch.labeled_count :])
        cells = self.local_predictor(student.cells[batch.labeled_count :])
        windows = windows_of(cells, self.settings.local_pooling)
        whole_loss = self._relate_whole(whole, targets.whole)
        (bank,) = self.window_bank.contents()
        window_loss = self._relate(windows, targets.windows.transpose(0, 1), bank.transpose(0, 1))
        terms = {
            "global": (self.settings.global_weight, whole_loss),
            "local": (self.settings.local_weight, window_loss),
        }
        return StepOutput.of(supervised, terms, self._facts())

    def _global_step(self, batch: Batch) -> StepOutput:
        """The global relation of all images, labeled or not; the decoder takes no part."""
        student, teacher = self.student, self.teacher.module
        mined = len(batch.mined)
        with torch.no_grad():
            images = self._jittered(torch.cat([batch.mined, batch.images]))
            pooled = global_average(teacher.network.encode(images)[-1])
            embedded = teacher.global_projector(pooled)
        self.whole_bank.push(embedded[:mined], pooled[:mined])
        encoded = student.network.encode(self._jittered(batch.images))
        whole = self.global_predictor(student.global_projector(global_average(encoded[-1])))
        loss = self._relate_whole(whole, embedded[mined:])
        nothing = loss.new_zeros(())
        logs = {"supervised": nothing, "global": loss.detach(), "local": nothing}
        return StepOutput(self.settings.global_weight * loss, {**logs, **self._facts()})

    def _facts(self) -> dict[str, Tensor]:
        """The effective rank of the pooled features in the bank, near 1 after a collapse."""
        _, pooled = self.whole_bank.contents()
        return {"effective_rank": effective_rank(pooled)}

    @torch.no_grad()
    def _embed_by_teacher(self, batch: Batch) -> tuple[Relations, Relations]:
        """What the teacher makes of the mined images, and of the unlabeled ones."""
        mined = len(batch.mined)
        images = self._jittered(torch.cat([batch.mined, batch.unlabeled]))
        embedded = self.teacher.module(images)
        windows = windows_of(embedded.cells, self.settings.local_pooling).transpose(0, 1)
        return (
            Relations(embedded.pooled[:mined], embedded.whole[:mined], windows[:mined]),
            Relations(embedded.pooled[mined:], embedded.whole[mined:], windows[mined:]),
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

    def _relate_whole(self, student: Tensor, teacher: Tensor) -> Tensor:
        bank, _ = self.whole_bank.contents()
        return self._relate(student, teacher, bank)

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
