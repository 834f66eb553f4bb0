"""ACTION's anatomical contrastive fine-tuning (AnCo; You et al., IPMI 2023).

A pixel contrast whose keys are the student's own and whose negatives come mostly from classes that
look alike, and pseudo labels on images mixed by CutMix. Its pretraining is `relational` with a
first stage of its own, see `pretraining.action` in params.yaml.
"""

from __future__ import annotations

import torch

from arco import fields
from arco.anatomical_contrast import AnatomicalContrast
from arco.contracts import Batch, Context, Progress, StepOutput
from arco.fields import NonNegative
from arco.losses.segmentation import supervised_loss
from arco.mixing import draw_rectangles, paste_next


class Settings(fields.PixelContrast):
    """Constants of the fine-tuning, beside those of the contrast.

    Attributes:
        contrast_weight, unsupervised_weight: of contrast and pseudo-label loss.
    """

    contrast_weight: NonNegative
    unsupervised_weight: NonNegative


class Method(AnatomicalContrast):
    """L_sup + w_c L_anco + w_u L_unsup, one pass of each network.

    Deviation: the authors' head joins all levels at full resolution and convolves 3 x 3; here it
    is ARCO's, which is evaluated at drawn pixels alone.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context, class_quotas=True)
        self.settings = settings
        self.views = context.randomness.generator("views")

    def step(self, batch: Batch, progress: Progress) -> StepOutput:  # noqa: ARG002
        """The loss of one batch."""
        labeled = batch.labeled_count
        targets = self.teach(batch)
        own = draw_rectangles(len(batch.unlabeled), batch.images.shape[2:], self.views)
        images = torch.cat([batch.labeled, paste_next(batch.unlabeled, own)])
        labels = torch.cat([batch.labels, paste_next(targets.labels[labeled:], own)])
        confidence = targets.confidence.clone()
        confidence[labeled:] = paste_next(confidence[labeled:], own)
        features = self.student.features(images)
        logits = self.student.classify(features[-1])
        trusted = self.trusted(labels, confidence)
        student = self.contrast.head.over(features)
        contrast = self.contrast(student, logits.detach(), trusted, student, trusted)
        unsupervised = self.pseudo_label_loss(
            logits[labeled:], labels[labeled:], confidence[labeled:]
        )
        return StepOutput.of(
            supervised_loss(logits[:labeled], batch.labels),
            {
                "contrast": (self.settings.contrast_weight, contrast.loss),
                "unsupervised": (self.settings.unsupervised_weight, unsupervised),
            },
            {**contrast.facts(), **self.sure_shares(targets.labels, targets.confidence, labeled)},
        )
