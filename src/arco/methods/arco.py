"""ARCO's anatomical contrastive fine-tuning (You et al., NeurIPS 2023, appendix Sec. E).

A few labels, a teacher's pseudo labels, a pixel contrast that gives every class the same number of
hard queries (tailness), and an image-level neighbor loss (diversity). What the paper is about is
how the pixels of the contrast are drawn: naively, stratified, or stratified in mirrored pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arco import fields
from arco.anatomical_contrast import AnatomicalContrast, Neighbors
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.fields import NonNegative, PositiveInt
from arco.losses.segmentation import supervised_loss
from arco.views import apply_dihedral, draw_dihedral


class Settings(fields.PixelContrast):
    """Constants of the fine-tuning, beside those of the contrast.

    Attributes:
        lambda1, lambda2, lambda3: weights of contrast, pseudo-label and neighbor loss.
        memory_bank, neighbors, neighbor_pooling: embeddings kept, nearest ones pulled, cells per
            axis of an embedding.
    """

    lambda1: NonNegative
    lambda2: NonNegative
    lambda3: NonNegative
    memory_bank: PositiveInt
    neighbors: PositiveInt
    neighbor_pooling: PositiveInt


class Method(AnatomicalContrast):
    """L_sup + lambda1 L_contrast + lambda2 L_unsup + lambda3 L_nn, one pass of each network.

    Readings of the appendix that docs/deviations.md argues: cosine similarity and means instead
    of dot products and sums; the student sees unlabeled images turned or mirrored once more, as the
    loader may do, to which the teacher's answers are carried over exactly; see also `Neighbors`.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings = settings
        self.symmetries = {
            "square": context.image_size[-1] == context.image_size[-2],
            "turned": context.augmentation.rotation and context.augmentation.quarter_turns > 0,
            "mirrored": context.augmentation.flip,
        }
        self.views = context.randomness.generator("views")
        self.neighbors = Neighbors(
            settings.width,
            (settings.neighbor_pooling,) * context.spatial_axes,
            capacity=settings.memory_bank,
            neighbors=settings.neighbors,
        )

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch."""
        settings, labeled = self.settings, batch.labeled_count
        targets = self.teach(batch)
        view = draw_dihedral(len(batch.unlabeled), self.views, **self.symmetries)

        def turned(maps: Tensor) -> Tensor:
            return torch.cat([maps[:labeled], apply_dihedral(maps[labeled:], view)])

        features = self.student.features(turned(batch.images))
        logits = self.student.classify(features[-1])
        labels, confidence = turned(targets.labels), turned(targets.confidence)
        trusted = self.trusted(targets.labels, targets.confidence)
        student = self.contrast.head.over(features)
        teacher = self.contrast.teacher_head.module.over(targets.features)
        contrast = self.contrast(student, logits.detach(), turned(trusted), teacher, trusted)
        unsupervised = self.pseudo_label_loss(
            logits[labeled:], labels[labeled:], confidence[labeled:]
        )
        neighbor = self.neighbors(
            student.images(slice(labeled, None)),
            teacher.images(slice(labeled, None)),
            lambda maps: apply_dihedral(maps, view),
        )
        return StepOutput.of(
            supervised_loss(logits[:labeled], labels[:labeled]),
            {
                "contrast": (settings.lambda1, contrast),
                "unsupervised": (settings.lambda2, unsupervised),
                "neighbor": (settings.lambda3, neighbor),
            },
        )
