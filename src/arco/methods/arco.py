"""ARCO's anatomical contrastive fine-tuning (You et al., NeurIPS 2023, appendix Sec. E).

A few labels, a teacher's pseudo labels, a pixel contrast that gives every class the same number of
hard queries (tailness), and an image-level neighbor loss (diversity). What the paper is about is
how the pixels of the contrast are drawn: naively, stratified, or stratified in mirrored pairs.
"""

from __future__ import annotations

from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from arco import fields
from arco.class_contrast import ClassContrast
from arco.contracts import IGNORE, Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative, Positive, PositiveInt, Sampler
from arco.losses.neighbors import neighbor_loss
from arco.losses.segmentation import cross_entropy, supervised_loss
from arco.models.memory_bank import MemoryBank
from arco.models.teacher import Teacher
from arco.views import MIRROR_WIDTH, apply_dihedral, draw_dihedral


class Settings(fields.Settings):
    """Constants of the fine-tuning.

    Attributes:
        sampler, grid: how pixels are drawn; cells per spatial axis.
        lambda1, lambda2, lambda3: weights of contrast, pseudo-label and neighbor loss.
        temperature: of the contrast.
        width: D of the representation.
        queries: drawn per class and step.
        negatives: per query; or with `negative_draws: shared` one set for all queries of a class.
        similarity, reduction: cosine and mean (released code) or dot and sum (Eq. E.2).
        weak_threshold: teacher confidence from which a pseudo label is a key or a query.
        strong_threshold: student probability below which a pixel is hard, and teacher confidence
            from which a pixel speaks for its image in the pseudo-label loss.
        memory_bank, neighbors, neighbor_pooling: embeddings kept, nearest ones pulled, cells per
            axis of an embedding.
        turns: how the student's unlabeled images are turned: by any symmetry of the square, or
            mirrored left to right alone; no further than labeled images are augmented.
        ema_decay: of the teacher.
    """

    sampler: Sampler
    grid: PositiveInt
    lambda1: NonNegative
    lambda2: NonNegative
    lambda3: NonNegative
    temperature: Positive
    width: PositiveInt
    queries: PositiveInt
    negatives: PositiveInt
    negative_draws: Literal["per_query", "shared"]
    similarity: Literal["cosine", "dot"]
    reduction: Literal["mean", "sum"]
    weak_threshold: Fraction
    strong_threshold: Fraction
    memory_bank: PositiveInt
    neighbors: PositiveInt
    neighbor_pooling: PositiveInt
    turns: Literal["dihedral", "mirror"]
    ema_decay: Fraction


class Targets(NamedTuple):
    """What the teacher says of a batch.

    Attributes:
        features: its feature pyramid.
        labels: [B, *S] int64, true labels where there are any, pseudo labels elsewhere, IGNORE
            outside the frame.
        confidence: [B, *S] in [0, 1], 1 where the label is true.
    """

    features: list[Tensor]
    labels: Tensor
    confidence: Tensor


class Method(Trainable):
    """L_sup + lambda1 L_contrast + lambda2 L_unsup + lambda3 L_nn, one pass of each network.

    Readings of the appendix that docs/deviations.md argues: cosine similarity and means instead
    of dot products and sums; the teacher chooses neighbors and the student approaches them; image
    embeddings are pooled maps; the student sees unlabeled images turned or mirrored, to which the
    teacher's answers are carried over exactly.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.square = context.image_size[-1] == context.image_size[-2]
        self.pooled_size = (settings.neighbor_pooling,) * context.spatial_axes
        self.views = context.randomness.generator("views")
        self.student = context.student()
        self.teacher = Teacher(self.student)
        self.contrast = ClassContrast(
            self.student.feature_channels,
            settings,
            classes=context.classes,
            grid=(settings.grid,) * context.spatial_axes,
            generator=context.randomness.generator("draws"),
        )
        self.bank = MemoryBank(settings.memory_bank, (settings.width * prod(self.pooled_size),))

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch."""
        settings, labeled = self.settings, batch.labeled_count
        targets = self._teach(batch)
        view = draw_dihedral(len(batch.unlabeled), self.views, square=self.square)
        if settings.turns == "mirror":
            view = view & MIRROR_WIDTH

        def turned(maps: Tensor) -> Tensor:
            return torch.cat([maps[:labeled], apply_dihedral(maps[labeled:], view)])

        features = self.student.features(turned(batch.images))
        logits = self.student.classify(features[-1])
        labels, confidence = turned(targets.labels), turned(targets.confidence)
        trusted = targets.labels.where(targets.confidence >= settings.weak_threshold, IGNORE)
        losses = {
            "supervised": supervised_loss(logits[:labeled], labels[:labeled]),
            "contrast": self.contrast(
                features, logits.detach(), turned(trusted), targets.features, trusted
            ),
            "unsupervised": cross_entropy(
                logits[labeled:],
                labels[labeled:],
                self._confident_shares(labels[labeled:], confidence[labeled:]),
            ),
            "neighbor": self._neighbor(features, targets.features, labeled, view),
        }
        total = (
            losses["supervised"]
            + settings.lambda1 * losses["contrast"]
            + settings.lambda2 * losses["unsupervised"]
            + settings.lambda3 * losses["neighbor"]
        )
        return StepOutput(total, {name: loss.detach() for name, loss in losses.items()})

    @torch.no_grad()
    def _teach(self, batch: Batch) -> Targets:
        """One pass of the teacher gives pseudo labels and representations (appendix Sec. F)."""
        labeled = batch.labeled_count
        features = self.teacher.module.features(batch.images)
        probs = self.teacher.module.classify(features[-1][labeled:]).softmax(dim=1)
        confidence, pseudo_labels = probs.max(dim=1)
        pseudo_labels = pseudo_labels.where(batch.frame[labeled:], IGNORE)
        certain = torch.ones_like(batch.labels, dtype=confidence.dtype)
        return Targets(
            features,
            torch.cat([batch.labels, pseudo_labels]),
            torch.cat([certain, confidence]),
        )

    def _confident_shares(self, labels: Tensor, confidence: Tensor) -> Tensor:
        """[U]: share of each image's pixels that the teacher is sure of (ReCo, ClassMix)."""
        inside = labels != IGNORE
        sure = inside & (confidence >= self.settings.strong_threshold)
        return sure.flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1).clamp_min(1)

    def _neighbor(
        self, features: list[Tensor], teacher: list[Tensor], labeled: int, view: Tensor
    ) -> Tensor:
        """L_nn of the unlabeled images; then the bank takes in their teacher embeddings."""
        head, teacher_head = self.contrast.head, self.contrast.teacher_head.module
        student_maps = head.pooled([maps[labeled:] for maps in features], self.pooled_size)
        with torch.no_grad():
            maps = teacher_head.pooled([maps[labeled:] for maps in teacher], self.pooled_size)
            embeddings = apply_dihedral(maps, view).flatten(1)
        if len(self.bank) >= self.settings.neighbors:
            (bank,) = self.bank.contents()
            loss = neighbor_loss(student_maps.flatten(1), embeddings, bank, self.settings.neighbors)
        else:
            loss = student_maps.sum() * 0.0
        self.bank.push(functional.normalize(embeddings, dim=1))
        return loss

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher and its head."""
        self.teacher.update(self.student, self.settings.ema_decay)
        self.contrast.update_teacher(self.settings.ema_decay)

    def exported(self) -> dict[str, Tensor]:
        """The student; the head is for training only."""
        return self.student.state_dict()
