"""Cross-consistency training: perturbed decoders reproduce the main one.

Ouali, Hudelot & Tami, CVPR 2020, in the form SSL4MIS gave it for a U-Net: three further decoders,
each with its own perturbation of every encoder map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative
from arco.losses.consistency import mean_squared
from arco.losses.segmentation import supervised_loss
from arco.models.perturbations import feature_drop, feature_dropout, feature_noise
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        supervise: all decoders by labels (SSL4MIS), or the main one alone (the paper).
        noise: amplitude of the feature noise.
        dropout: rate of the feature dropout.
        drop_lowest, drop_highest: range of the share of the peak from which features are erased.
    """

    weight: NonNegative
    ramp: Fraction
    supervise: Literal["all", "main"]
    noise: Fraction
    dropout: Fraction
    drop_lowest: Fraction
    drop_highest: Fraction


class Method(Trainable):
    """L_sup (mean over decoders) + weight ramp(t) mean_k mean (p_k - sg p_main)^2, unlabeled.

    The stop-gradient is the paper's, the number of decoders, their supervision and the weight are
    SSL4MIS's: with the paper's weight of 30 an untrained main decoder would rule, and decoders
    that learn from a weight of 0.1 alone would stay near their initial weights. Skips are perturbed
    too, or they would give the answer away.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.auxiliary = nn.ModuleList(self.student.auxiliary_decoder() for _ in range(3))
        self.generator = context.randomness.generator("perturbations")

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of the encoder, one of each decoder."""
        labeled, settings = batch.labeled_count, self.settings
        encoded = self.student.encode(batch.images)
        main = self.student.classify(self.student.decode(encoded)[-1])
        others = [
            decoder(maps)
            for decoder, maps in zip(self.auxiliary, self.perturbed(encoded), strict=True)
        ]
        trained = [main, *others] if settings.supervise == "all" else [main]
        supervised = [supervised_loss(logits[:labeled], batch.labels) for logits in trained]
        target = main[labeled:].detach().softmax(dim=1)
        consistency = [
            mean_squared(logits[labeled:].softmax(dim=1), target, batch.unlabeled_frame)
            for logits in others
        ]
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        return StepOutput.of(
            torch.stack(supervised).mean(),
            {"consistency": (weight, torch.stack(consistency).mean())},
        )

    def perturbed(self, encoded: Sequence[Tensor]) -> list[list[Tensor]]:
        """The encoder's maps with noise, with dropout, and without their peaks."""
        settings, generator = self.settings, self.generator
        return [
            [feature_noise(maps, settings.noise, generator) for maps in encoded],
            [feature_dropout(maps, settings.dropout, generator) for maps in encoded],
            [
                feature_drop(maps, settings.drop_lowest, settings.drop_highest, generator)
                for maps in encoded
            ],
        ]

    def exported(self) -> dict[str, Tensor]:
        """Encoder, main decoder and classifier."""
        return self.student.state_dict()
