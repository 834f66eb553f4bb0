"""Deep co-training: two networks agree, yet resist each other's adversarial examples.

Qiao et al., ECCV 2018; for segmentation Peng et al., Pattern Recognition 2020. SSL4MIS lists
another method under this name, see `arco.methods.dct_rot`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco import fields
from arco.contracts import IGNORE, Batch, Context, Progress, StepOutput, Trainable
from arco.fields import Fraction, NonNegative
from arco.losses.co_training import jensen_shannon, soft_cross_entropy
from arco.losses.segmentation import supervised_loss
from arco.models.normalization import kept_statistics
from arco.schedules import ramp_up


class Settings(fields.Settings):
    """Constants.

    Attributes:
        weight: final weight of the agreement on unlabeled images.
        adversarial_weight: final weight of the resistance, on all images.
        ramp: share of the run after which both hold.
        adversarial_start: share of the run without resistance.
        epsilon: largest change of a pixel of an adversarial example; images lie in [0, 1].
    """

    weight: NonNegative
    adversarial_weight: NonNegative
    ramp: Fraction
    adversarial_start: Fraction
    epsilon: NonNegative


class Method(Trainable):
    """L_sup of both + w_cot ramp(t) JSD(p1, p2) + w_dif ramp(t) sum of both cross-entropies.

    Weights in this normalisation are those of the segmentation code, halved where it averages over
    four terms. The original draws other labeled images for each network; here both see the same.
    Deviation: batch-norm statistics are not gathered from adversarial examples.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.student = context.student()
        self.peer = context.build_network()

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch; up to three passes of each network."""
        labeled, settings = batch.labeled_count, self.settings
        networks = (self.student, self.peer)
        clean = [network(batch.images) for network in networks]
        supervised = [supervised_loss(logits[:labeled], batch.labels) for logits in clean]
        ramp = ramp_up(progress.fraction, settings.ramp)
        agreement = jensen_shannon(clean[0][labeled:], clean[1][labeled:], batch.unlabeled_frame)
        terms = {"agreement": (settings.weight * ramp, agreement)}
        if progress.fraction >= settings.adversarial_start:
            resistance = self._resistance(batch, clean)
            terms["resistance"] = (settings.adversarial_weight * ramp, resistance)
        else:
            terms["resistance"] = (0.0, agreement.new_zeros(()))
        return StepOutput.of(supervised[0] + supervised[1], terms)

    def _resistance(self, batch: Batch, clean: list[Tensor]) -> Tensor:
        """Each network's cross-entropy on the other's adversarial examples."""
        first, second = (
            self._attack(network, batch, logits)
            for network, logits in zip((self.student, self.peer), clean, strict=True)
        )
        targets = [logits.softmax(dim=1) for logits in clean]
        with kept_statistics(self.student), kept_statistics(self.peer):  # no test image is attacked
            defended = self.peer(first), self.student(second)
        return soft_cross_entropy(defended[0], targets[0], batch.frame) + soft_cross_entropy(
            defended[1], targets[1], batch.frame
        )

    def _attack(self, network: nn.Module, batch: Batch, clean: Tensor) -> Tensor:
        """Adversarial examples [B, channels, *S] of a network that predicted `clean` logits."""
        labels = torch.cat([batch.labels, clean[batch.labeled_count :].argmax(dim=1)])
        labels = labels.where(batch.frame, IGNORE)
        return adversarial(network, batch.images, labels, self.settings.epsilon)

    def exported(self) -> dict[str, Tensor]:
        """The first network."""
        return self.student.state_dict()


def adversarial(network: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Images moved by the fast gradient sign method to raise a network's loss, within [0, 1].

    The gradient is taken in evaluation mode and reaches no parameter; afterwards the network is in
    the mode it was in.

    Args:
        network: the attacked one.
        images: [B, channels, *S] in [0, 1].
        labels: [B, *S] int64, IGNORE where a pixel does not count.
        epsilon: change of each pixel.
    """
    training = network.training
    network.eval()
    moved = images.detach().requires_grad_()
    loss = functional.cross_entropy(network(moved), labels, ignore_index=IGNORE, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, moved)
    network.train(training)
    return (images + epsilon * gradient.sign()).clamp(0, 1).detach()
