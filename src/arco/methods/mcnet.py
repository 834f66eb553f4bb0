"""MC-Net: two decoders that climb in different ways exchange sharpened predictions.

Wu et al., MICCAI 2021 (version 1, which the paper cites; MC-Net+ has a third decoder).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative, Positive
from arco.losses.co_training import mutual_consistency
from arco.losses.segmentation import dice_loss
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight, ramp: final weight of the consistency, and after which share of the run it holds.
        supervised_weight: of each decoder's Dice loss.
        temperature: of the sharpening.
        upsampling: of the second decoder; the first climbs as the network does.
        dice: squares in the denominator and all classes, or plain sums and foreground alone.
    """

    weight: NonNegative
    ramp: Fraction
    supervised_weight: Positive
    temperature: Positive
    upsampling: Literal["linear", "transposed", "nearest"]
    dice: Literal["squared", "foreground"]


class Method(Trainable):
    """a (Dice_A + Dice_B) + weight ramp(t) sum_(i != j) mean (p_i - sharp(p_j))^2, all images.

    Targets are detached, as the text has it (the code lets gradients into them), and sharpened as
    distributions. The code computes cross-entropy and never adds it. Its 2D Dice lacks the factor
    2, which halves the gradient: a = 0.5 with a correct Dice is the same.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.second_decoder = self.student.auxiliary_decoder(settings.upsampling)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; one pass of the encoder, one of each decoder."""
        labeled, settings = batch.labeled_count, self.settings
        encoded = self.student.encode(batch.images)
        decoders = [
            self.student.classify(self.student.decode(encoded)[-1]),
            self.second_decoder(encoded),
        ]
        whole = settings.dice == "squared"
        dice = [
            dice_loss(logits[:labeled], batch.labels, squared=whole, background=whole)
            for logits in decoders
        ]
        consistency = mutual_consistency(decoders, settings.temperature, batch.frame)
        weight = settings.weight * ramp_up(progress.fraction, settings.ramp)
        supervised = settings.supervised_weight * (dice[0] + dice[1])
        return StepOutput.of(supervised, {"consistency": (weight, consistency)})

    def exported(self) -> dict[str, Tensor]:
        """Encoder, first decoder and classifier, which the public code tests."""
        return self.student.state_dict()
