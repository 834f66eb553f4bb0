"""ARCO's anatomical contrastive fine-tuning (You et al., NeurIPS 2023, appendix Sec. E).

A few labels, a teacher's pseudo labels, a pixel contrast that gives every class the same number of
hard queries (tailness), and an image-level neighbor loss (diversity). What the paper is about is
how the pixels of the contrast are drawn: naively, stratified, or stratified in mirrored pairs.

MONA (You et al., TPAMI 2024) is the same method with naive sampling: the authors have one code for
both papers. From it come the strong view of unlabeled images and the equivariance loss. Both are
settings; without them this is Sec. E by the letter.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from arco import fields
from arco.anatomical_contrast import AnatomicalContrast, Neighbors, Targets
from arco.class_contrast import Compared
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.errors import ArcoError
from arco.fields import Fraction, NonNegative, PositiveInt, SimilaritySpline, StrongView
from arco.losses.equivariance import equivariance_loss
from arco.losses.segmentation import supervised_loss
from arco.models.normalization import kept_statistics
from arco.schedules import ramp_up
from arco.student_views import Seen, Strengthened, Turned
from arco.warps import draw_similarity_spline, warp, warp_labels


class Settings(fields.PixelContrast):
    """Constants of the fine-tuning, beside those of the contrast.

    Attributes:
        lambda1, lambda2, lambda3: weights of contrast, pseudo-label and neighbor loss.
        lambda2_ramp: share of the run over which lambda2 rises to its value; 0: no ramp.
        pseudo_labels: what the pseudo-label loss weighs alike: images (Sec. E) or classes.
        memory_bank, neighbors, neighbor_pooling: embeddings kept, nearest ones pulled, cells per
            axis of an embedding.
        neighbor_predictor: whether the student predicts a neighbor from its embedding by two
            layers, or its embedding itself approaches the neighbor.
        equivariance_weight: of L_eqv; 0 computes nothing.
        strong: how the student's unlabeled images are changed; null: turned and mirrored alone.
        spline: how images are warped for L_eqv.
    """

    lambda1: NonNegative
    lambda2: NonNegative
    lambda2_ramp: Fraction
    pseudo_labels: Literal["images", "classes"]
    lambda3: NonNegative
    memory_bank: PositiveInt
    neighbors: PositiveInt
    neighbor_pooling: PositiveInt
    neighbor_predictor: bool
    equivariance_weight: NonNegative
    strong: StrongView | None
    spline: SimilaritySpline


class Passes(NamedTuple):
    """What one pass of each network makes of a batch.

    Attributes:
        targets: the teacher's answers.
        seen: the unlabeled images as the student sees them.
        logits: [B, C, *S] of the student, with a graph.
        compared: what the contrast compares.
    """

    targets: Targets
    seen: Seen
    logits: Tensor
    compared: Compared


class Method(AnatomicalContrast):
    """L_sup + lambda1 L_contrast + lambda2 L_unsup + lambda3 L_nn + w L_eqv.

    Readings of the appendix that docs/deviations.md argues: cosine similarity and means instead
    of dot products and sums; the student's view of unlabeled images; see also `Neighbors`. L_sup
    is half of cross-entropy and Dice. L_eqv warps predictions as probabilities (the authors' code
    warps logits), and gathers no batch-norm statistics from warped images.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        if settings.equivariance_weight and context.spatial_axes != 2:
            raise ArcoError(
                "params.yaml: volumes.methods.arco.equivariance_weight must be 0: volumes are not "
                "warped"
            )
        self.settings = settings
        cells = (settings.neighbor_pooling,) * context.spatial_axes
        self.warps = context.randomness.generator("warps")
        self.view: Turned | Strengthened = (
            Turned(context)
            if settings.strong is None
            else Strengthened(settings.strong, cells, context)
        )
        self.neighbors = Neighbors(
            settings.width,
            cells,
            capacity=settings.memory_bank,
            neighbors=settings.neighbors,
            predictor=settings.neighbor_predictor,
        )

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; with equivariance three passes of the student, else one."""
        settings, labeled = self.settings, batch.labeled_count
        targets, seen, logits, compared = self.compare(batch)
        contrast = self.contrast(*compared)
        unsupervised = self.pseudo_label_loss(
            logits[labeled:], seen.labels, seen.confidence, settings.pseudo_labels
        )
        unlabeled = slice(labeled, None)
        neighbor = self.neighbors(
            compared.student.images(unlabeled), compared.keys.images(unlabeled), seen.carry
        )
        lambda2 = settings.lambda2 * ramp_up(progress.fraction, settings.lambda2_ramp)
        terms = {
            "contrast": (settings.lambda1, contrast.loss),
            "unsupervised": (lambda2, unsupervised),
            "neighbor": (settings.lambda3, neighbor),
        }
        if settings.equivariance_weight:
            terms["equivariance"] = (
                settings.equivariance_weight,
                self._equivariance(batch, targets),
            )
        return StepOutput.of(
            supervised_loss(logits[:labeled], batch.labels),
            terms,
            {**contrast.facts(), **self.sure_shares(targets.labels, targets.confidence, labeled)},
        )

    def compare(self, batch: Batch) -> Passes:
        """Pass a batch through both networks; the contrast then draws from what they say."""
        labeled = batch.labeled_count
        targets = self.teach(batch)
        seen = self.view(batch.unlabeled, targets.labels[labeled:], targets.confidence[labeled:])
        features = self.student.features(torch.cat([batch.labeled, seen.images]))
        logits = self.student.classify(features[-1])
        labels = self.trusted(
            torch.cat([batch.labels, seen.labels]),
            torch.cat([targets.confidence[:labeled], seen.confidence]),
        )
        compared = Compared(
            self.contrast.head.over(features),
            logits.detach(),
            labels,
            self.contrast.teacher_head.module.over(targets.features),
            self.trusted(targets.labels, targets.confidence),
        )
        return Passes(targets, seen, logits, compared)

    def _equivariance(self, batch: Batch, targets: Targets) -> Tensor:
        """L_eqv of all images as the loader gives them, where the teacher is sure of an organ."""
        settings = self.settings.spline
        grid = draw_similarity_spline(
            len(batch.images),
            batch.images.shape[2:],
            rotation_degrees=settings.rotation_degrees,
            scale=(settings.scale_min, settings.scale_max),
            shift=settings.shift,
            mirror=settings.mirror,
            jitter=settings.jitter,
            generator=self.warps,
        )
        labels = warp_labels(self.trusted(targets.labels, targets.confidence), grid)
        with kept_statistics(self.student):  # they count every image once, and none warped
            with torch.no_grad():
                probs = self.student(batch.images).softmax(dim=1)
            logits = self.student(warp(batch.images, grid))
        return equivariance_loss(warp(probs, grid), logits, labels > 0)
