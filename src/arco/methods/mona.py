"""MONA's anatomical contrastive fine-tuning (You et al., TPAMI 2024).

ARCO's losses with naive sampling, strongly changed unlabeled images, and anatomical equivariance:
the segmentation of a warped image is the warped segmentation. The paper's formulas were not
available; this follows its released code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from arco import fields
from arco.anatomical_contrast import AnatomicalContrast, Neighbors, Targets
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.contrastive_views import apply_intensity, draw_intensity
from arco.errors import ArcoError
from arco.fields import Fraction, NonNegative, Positive, PositiveInt
from arco.losses.equivariance import equivariance_loss
from arco.losses.segmentation import supervised_loss
from arco.mixing import draw_rectangles, paste_next
from arco.models.normalization import kept_statistics
from arco.warps import draw_deformation, draw_similarity_spline, warp, warp_labels


class Settings(fields.PixelContrast):
    """Constants of the fine-tuning, beside those of the contrast.

    Attributes:
        lambda1, lambda2, lambda3: weights of contrast, pseudo-label and neighbor loss.
        memory_bank, neighbors, neighbor_pooling: as in ARCO.
        equivariance_weight: of L_eqv; 0 computes nothing.
        strong: how unlabeled images are changed.
        spline: how images are warped for L_eqv.
    """

    class Strong(fields.Settings):
        """After CutMix: jitter, blur, deformation.

        `jitter` is the largest change of the brightness and contrast factors, blur is in pixels,
        `deformation` the displacement of nodes eight pixels apart, in pixels. `probability` holds
        for jitter and blur of each image and for the deformation of the batch.
        """

        jitter: Fraction
        blur_min: NonNegative
        blur_max: NonNegative
        deformation: NonNegative
        probability: Fraction

    class Spline(fields.Settings):
        """See `arco.warps.draw_similarity_spline`."""

        rotation_degrees: NonNegative
        scale_min: Positive
        scale_max: Positive
        shift: NonNegative
        mirror: Fraction
        jitter: NonNegative

    lambda1: NonNegative
    lambda2: NonNegative
    lambda3: NonNegative
    memory_bank: PositiveInt
    neighbors: PositiveInt
    neighbor_pooling: PositiveInt
    equivariance_weight: NonNegative
    strong: Strong
    spline: Spline


class Strong(NamedTuple):
    """Changed unlabeled images [U, channels, *S], their labels and confidence [U, *S].

    `own` [U, *S] bool tells which pixels are not from the next image.
    """

    images: Tensor
    labels: Tensor
    confidence: Tensor
    own: Tensor


class Method(AnatomicalContrast):
    """L_sup + lambda1 L_contrast + lambda2 L_unsup + lambda3 L_nn + w L_eqv.

    L_sup is the same half of cross-entropy and Dice as everywhere here. Deviations: a deformation
    moves labels with their image (the code leaves them behind); the teacher's embedding of a mixed
    image is mixed from those of its two parts; predictions are warped as probabilities, the code
    warps logits; batch-norm statistics are not gathered from warped images. Over volumes the code
    computes L_eqv and leaves it out; here its weight is 0.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        if settings.equivariance_weight and context.spatial_axes != 2:
            raise ArcoError(
                "params.yaml: volumes.methods.mona.equivariance_weight must be 0: volumes are not "
                "warped"
            )
        self.settings = settings
        self.views = context.randomness.generator("views")
        cells = (settings.neighbor_pooling,) * context.spatial_axes
        self._pool = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[len(cells)](cells)
        self.neighbors = Neighbors(
            settings.width,
            cells,
            capacity=settings.memory_bank,
            neighbors=settings.neighbors,
        )

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch; with equivariance three passes of the student, else one."""
        settings, labeled = self.settings, batch.labeled_count
        targets = self.teach(batch)
        strong = self._strengthened(batch, targets)
        features = self.student.features(torch.cat([batch.labeled, strong.images]))
        logits = self.student.classify(features[-1])
        labels = torch.cat([batch.labels, strong.labels])
        confidence = torch.cat([targets.confidence[:labeled], strong.confidence])
        student = self.contrast.head.over(features)
        teacher = self.contrast.teacher_head.module.over(targets.features)
        contrast = self.contrast(
            student,
            logits.detach(),
            self.trusted(labels, confidence),
            teacher,
            self.trusted(targets.labels, targets.confidence),
        )
        own = self._pool(strong.own.float().unsqueeze(1))
        neighbor = self.neighbors(
            student.images(slice(labeled, None)),
            teacher.images(slice(labeled, None)),
            lambda maps: paste_next(maps, own.expand_as(maps)),
        )
        terms = {
            "contrast": (settings.lambda1, contrast),
            "unsupervised": (
                settings.lambda2,
                self.pseudo_label_loss(logits[labeled:], strong.labels, strong.confidence),
            ),
            "neighbor": (settings.lambda3, neighbor),
        }
        if settings.equivariance_weight:
            equivariance = self._equivariance(batch, targets)
            terms["equivariance"] = (settings.equivariance_weight, equivariance)
        return StepOutput.of(supervised_loss(logits[:labeled], batch.labels), terms)

    def _strengthened(self, batch: Batch, targets: Targets) -> Strong:
        """The unlabeled images and the teacher's answers, changed alike."""
        settings, labeled = self.settings.strong, batch.labeled_count
        count, size = len(batch.unlabeled), batch.images.shape[2:]
        own = draw_rectangles(count, size, self.views)
        intensity = draw_intensity(
            count,
            jitter=settings.probability,
            strength=(settings.jitter, settings.jitter),
            blur=settings.probability,
            sigma=(settings.blur_min, settings.blur_max),
            solarize=0.0,
            generator=self.views,
        )
        images = apply_intensity(paste_next(batch.unlabeled, own), intensity)
        labels = paste_next(targets.labels[labeled:], own)
        confidence = paste_next(targets.confidence[labeled:], own)
        grid = draw_deformation(count, size, amplitude=settings.deformation, generator=self.views)
        unit = torch.rand(1, generator=self.views, device=self.views.device)
        if unit.item() < settings.probability:
            images = warp(images, grid, outside="border")
            labels = warp_labels(labels, grid)
            confidence = warp(confidence.unsqueeze(1), grid, nearest=True).squeeze(1)
            own = warp(own.float().unsqueeze(1), grid, nearest=True).squeeze(1) > 0
        return Strong(images, labels, confidence, own)

    def _equivariance(self, batch: Batch, targets: Targets) -> Tensor:
        """L_eqv of all images, where the teacher is sure of an organ."""
        settings = self.settings.spline
        grid = draw_similarity_spline(
            len(batch.images),
            batch.images.shape[2:],
            rotation_degrees=settings.rotation_degrees,
            scale=(settings.scale_min, settings.scale_max),
            shift=settings.shift,
            mirror=settings.mirror,
            jitter=settings.jitter,
            generator=self.views,
        )
        labels = warp_labels(self.trusted(targets.labels, targets.confidence), grid)
        with kept_statistics(self.student):  # they count every image once, and none warped
            with torch.no_grad():
                probs = self.student(batch.images).softmax(dim=1)
            logits = self.student(warp(batch.images, grid))
        return equivariance_loss(warp(probs, grid), logits, labels > 0)
