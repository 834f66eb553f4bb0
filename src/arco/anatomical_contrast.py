"""Fine-tuning from pseudo labels and a pixel contrast: what ARCO, MONA and ACTION share.

A teacher looks at every image once. Where it is sure its answers are pseudo labels; its features
are the keys of the contrast and choose the neighbors of an image (You et al., appendix Sec. E, F).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.class_contrast import ClassContrast
from arco.contracts import IGNORE, Batch, Context, Progress, Trainable
from arco.fields import PixelContrast
from arco.losses.neighbors import neighbor_loss
from arco.losses.segmentation import class_cross_entropy, cross_entropy
from arco.models.head import Representations
from arco.models.memory_bank import MemoryBank
from arco.models.projection import mlp
from arco.models.teacher import Teacher


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


class AnatomicalContrast(Trainable):
    """Keeps student, teacher and contrast; a method derived from it writes `step`.

    Args:
        settings: of the contrast.
        context: of the run.
        class_quotas: see `ClassContrast`.
    """

    def __init__(
        self, settings: PixelContrast, context: Context, *, class_quotas: bool = False
    ) -> None:
        super().__init__()
        self._settings = settings
        self.student = context.student()
        self.teacher = Teacher(self.student)
        self.contrast = ClassContrast(
            self.student.feature_channels,
            settings,
            classes=context.classes,
            grid=(settings.grid,) * context.spatial_axes,
            generator=context.randomness.generator("draws"),
            class_quotas=class_quotas,
        )

    @torch.no_grad()
    def teach(self, batch: Batch) -> Targets:
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

    def trusted(self, labels: Tensor, confidence: Tensor) -> Tensor:
        """Labels [B, *S], IGNORE where the teacher is less sure than the weak threshold."""
        return labels.where(confidence >= self._settings.weak_threshold, IGNORE)

    def pseudo_label_loss(
        self,
        logits: Tensor,
        labels: Tensor,
        confidence: Tensor,
        alike: Literal["images", "classes"] = "images",
    ) -> Tensor:
        """Cross-entropy of unlabeled images with their pseudo labels.

        The pixels of one image (ReCo, ClassMix), or those of one class, weigh as much as the share
        of them that the teacher is sure of. Background is sure first: in whole images it lends its
        weight to pixels that the teacher is unsure of, most of which it calls background.

        Args:
            logits: [U, C, *S] of the student.
            labels: [U, *S] int64.
            confidence: [U, *S].
            alike: whether images or classes are weighed alike.
        """
        sure = confidence >= self._settings.strong_threshold
        if alike == "classes":
            return class_cross_entropy(logits, labels, sure)
        inside = labels != IGNORE
        shares = (inside & sure).flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1).clamp_min(1)
        return cross_entropy(logits, labels, shares)

    @torch.no_grad()
    def sure_shares(self, labels: Tensor, confidence: Tensor, labeled: int) -> dict[str, Tensor]:
        """How much of the unlabeled images lies above the two thresholds, for the history.

        Args:
            labels: [B, *S] int64, pseudo labels after the first `labeled` images.
            confidence: [B, *S].
            labeled: L.

        Returns:
            For each threshold the share of all pixels, and of those the teacher calls an organ.
        """
        pseudo, confidence = labels[labeled:], confidence[labeled:]
        thresholds = {
            "weak": self._settings.weak_threshold,
            "strong": self._settings.strong_threshold,
        }
        shares = {}
        for name, threshold in thresholds.items():
            sure = confidence >= threshold
            for region, mask in (("", pseudo != IGNORE), ("_foreground", pseudo > 0)):
                shares[f"sure_{name}{region}"] = (sure & mask).sum() / mask.sum().clamp_min(1)
        return shares

    def after_update(self, progress: Progress) -> None:  # noqa: ARG002
        """Move the teacher and its head."""
        self.teacher.update(self.student, self._settings.ema_decay)
        self.contrast.update_teacher(self._settings.ema_decay)

    def exported(self) -> dict[str, Tensor]:
        """The student; the head is for training only."""
        return self.student.state_dict()


class Neighbors(nn.Module):
    """Pulls an unlabeled image towards its nearest neighbors among earlier ones (L_nn).

    Readings of the appendix: the teacher chooses neighbors and the student approaches them; an
    image's embedding is its representation map, averaged to a few cells per axis. With a predictor
    the student approaches them through two layers of its own, cell by cell, as in mean shift
    (Koohpayegani et al., ICCV 2021): without it the cheapest way to agree is one direction for
    every pixel, which takes from the contrast what it has to tell apart.

    Args:
        width: D of the representation.
        pooled_size: cells along each axis.
        capacity: embeddings kept.
        neighbors: nearest ones pulled.
        predictor: whether the student has one.
    """

    def __init__(
        self,
        width: int,
        pooled_size: tuple[int, ...],
        *,
        capacity: int,
        neighbors: int,
        predictor: bool,
    ) -> None:
        super().__init__()
        self.pooled_size = pooled_size
        self.neighbors = neighbors
        self.predictor = mlp(width, width, width) if predictor else nn.Identity()
        self.bank = MemoryBank(capacity, (width * prod(pooled_size),))

    def forward(
        self,
        student: Representations,
        teacher: Representations,
        carry: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """The loss, 0 until there are enough neighbors; then the bank takes the images in.

        Args:
            student: of the unlabeled images in the student's view.
            teacher: of the same images, in its own view.
            carry: turns pooled maps [U, D, *cells] from the teacher's view into the student's.
        """
        maps = student.pooled(self.pooled_size)
        with torch.no_grad():
            theirs = carry(teacher.pooled(self.pooled_size)).flatten(1)
        if len(self.bank) >= self.neighbors:
            (bank,) = self.bank.contents()
            predicted = self.predictor(maps.movedim(1, -1)).movedim(-1, 1)
            loss = neighbor_loss(predicted.flatten(1), theirs, bank, self.neighbors)
        else:
            loss = maps.sum() * 0.0
        self.bank.push(functional.normalize(theirs, dim=1))
        return loss
