"""A segmentation network that predicts signed distance maps beside its mask (DTC, SASSNet)."""

from __future__ import annotations

from torch import Tensor, nn

from arco.models.backbone import Backbone, autocast, full_precision


class TwoTasks(nn.Module):
    """Logits and signed distances from the same features; a V-Net drops channels for both alike.

    The distance head computes in float32, also where the network's convolutions use bfloat16.
    For two classes this is the published network, but for a softmax in the place of a sigmoid; for
    more there is a map per foreground class, as the authors of DTC advise.

    Args:
        network: the segmentation network; trained, and kept without the second head.
        classes: C.
    """

    def __init__(self, network: Backbone, classes: int) -> None:
        super().__init__()
        self.network = network
        self.distance_head = _parts(network.auxiliary_classifier(classes - 1))[1]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, C, *S] and distances [B, C - 1, *S] in (-1, 1)."""
        finest = self.network.features(images)[-1]
        dropout, convolution = _parts(self.network.classifier)
        kept = dropout(finest)
        with autocast(finest, mixed_precision=self.network.mixed_precision):
            logits = convolution(kept)
        # In float32 always: DTC's sigmoid multiplies distances by 1500.
        return full_precision(logits), self.distance_head(kept).tanh()


def _parts(classifier: nn.Module) -> tuple[nn.Module, nn.Module]:
    """What drops channels before a network's last convolution, and that convolution."""
    if isinstance(classifier, nn.Sequential):
        return classifier[:-1], classifier[-1]
    return nn.Identity(), classifier
