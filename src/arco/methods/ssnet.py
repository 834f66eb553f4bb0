"""SS-Net: smooth predictions and separated classes.

Wu et al., MICCAI 2022: virtual adversarial training, and pixel features pulled to prototypes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from arco import fields
from arco.class_separation import ClassSeparation
from arco.contracts import IGNORE, Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative, PositiveInt
from arco.losses.adversarial_direction import dice_distance, worst_direction
from arco.losses.consistency import pseudo_labels
from arco.losses.segmentation import dice_loss
from arco.models.normalization import kept_statistics
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of both unsupervised terms, and after which share of the run it
            holds.
        probe, radius: lengths of the first random and of the adversarial change of an image.
        separation_weight: of the class separation, within `weight`.
        prototypes: of each class.
        pixels_per_class: drawn at most from each half of the batch.
        ranking: whether pixels of the highest or of the lowest score become prototypes.
    """

    weight: NonNegative
    ramp: Fraction
    probe: NonNegative
    radius: NonNegative
    separation_weight: NonNegative
    prototypes: PositiveInt
    pixels_per_class: PositiveInt
    ranking: Literal["highest", "lowest"]


class Method(Trainable):
    """Dice + weight ramp(t) (L_vat + 0.1 L_cs), the unsupervised terms on all images.

    The distance of L_vat is the squared Dice form in 2D and 3D, which is 0 for equal predictions;
    the 3D code's is not. Its constant side is the prediction of the main pass, where the code
    spends another pass in the same mode. Deviation: batch-norm statistics are gathered from the
    main pass alone.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.directions = context.randomness.generator("directions")
        self.separation = ClassSeparation(
            self.student.feature_channels[-1],
            context.classes,
            prototypes=settings.prototypes,
            pixels_per_class=settings.pixels_per_class,
            ranking=settings.ranking,
            generator=context.randomness.generator("draws"),
        )

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; three passes of the network, all with gradients."""
        labeled, settings = batch.labeled_count, self.settings
        finest = self.student.features(batch.images)[-1]
        logits = self.student.classify(finest)
        predicted = pseudo_labels(logits, batch.frame, IGNORE)
        labels = torch.cat([batch.labels, predicted[labeled:]])
        separation = self.separation(finest, labels, predicted, labeled)
        smoothness = self.smoothness(batch, logits.detach().softmax(dim=1))
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        return StepOutput.of(
            dice_loss(logits[:labeled], batch.labels),
            {
                "smoothness": (weight, smoothness),
                "separation": (weight * settings.separation_weight, separation),
            },
        )

    def smoothness(self, batch: Batch, clean: Tensor) -> Tensor:
        """L_vat: how far predictions move from `clean` [B, C, *S] along the worst direction."""

        def divergence(images: Tensor) -> Tensor:
            return dice_distance(self.student(images).softmax(dim=1), clean, batch.frame)

        # Both passes see noise that no test image has, two of the three updates of a step.
        with kept_statistics(self.student):
            change = worst_direction(
                divergence,
                batch.images,
                probe=self.settings.probe,
                radius=self.settings.radius,
                generator=self.directions,
            )
            return divergence(batch.images + change)

    def exported(self) -> dict[str, Tensor]:
        """The network without heads and selectors."""
        return self.student.state_dict()
