"""Uncertainty rectified pyramid consistency: a network's predictions at four scales agree.

Luo et al., MICCAI 2021 and Medical Image Analysis 2022.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative
from arco.losses.multi_scale import pyramid_consistency
from arco.losses.segmentation import supervised_loss
from arco.models.backbone import enlarge
from arco.models.perturbations import feature_drop, feature_dropout, feature_noise
from arco.schedules import ramp_up

SCALES = (8, 4, 2)
"""Resolutions of the side heads, as divisors of the full one."""


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        upsampling: how side predictions reach full resolution.
        perturbed: whether the maps that side heads read are perturbed: by dropout at 1/8, feature
            drop at 1/4 and feature noise at 1/2.
        dropout, drop_lowest, drop_highest, noise: constants of these perturbations.
    """

    weight: NonNegative
    ramp: Fraction
    upsampling: Literal["nearest", "linear"]
    perturbed: bool
    dropout: Fraction
    drop_lowest: Fraction
    drop_highest: Fraction
    noise: Fraction


class Method(Trainable):
    """L_sup, the mean over four heads, + weight ramp(t) pyramid consistency of unlabeled images.

    Over volumes the published network is a 3D U-Net; here the side heads sit on the V-Net, where
    channel dropout before each takes the place of the perturbations.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.levels = [self.student.strides.index(stride) for stride in SCALES]
        self.side_heads = nn.ModuleList(
            self.student.auxiliary_classifier(context.classes, level) for level in self.levels
        )
        self.generator = context.randomness.generator("perturbations")

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of the network."""
        labeled, settings = batch.labeled_count, self.settings
        scales = self.predictions(batch.images)
        supervised = [supervised_loss(logits[:labeled], batch.labels) for logits in scales]
        consistency = pyramid_consistency(
            [logits[labeled:] for logits in scales], batch.unlabeled_frame
        )
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        return StepOutput.of(torch.stack(supervised).mean(), {"consistency": (weight, consistency)})

    def predictions(self, images: Tensor) -> list[Tensor]:
        """Logits [B, C, *S] of the side heads, coarse to fine, and of the network itself."""
        features = self.student.features(images)
        maps = [features[level] for level in self.levels]
        if self.settings.perturbed:
            maps = self._perturb(*maps)
        size, upsampling = images.shape[2:], self.settings.upsampling
        sides = [
            enlarge(head(own), size, upsampling)
            for head, own in zip(self.side_heads, maps, strict=True)
        ]
        return [*sides, self.student.classify(features[-1])]

    def _perturb(self, eighth: Tensor, quarter: Tensor, half: Tensor) -> list[Tensor]:
        settings, generator = self.settings, self.generator
        return [
            feature_dropout(eighth, settings.dropout, generator),
            feature_drop(quarter, settings.drop_lowest, settings.drop_highest, generator),
            feature_noise(half, settings.noise, generator),
        ]

    def exported(self) -> dict[str, Tensor]:
        """The network without side heads."""
        return self.student.state_dict()
