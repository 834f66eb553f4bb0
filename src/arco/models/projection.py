"""What turns a network's maps into the vectors that pretraining compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from arco.models.backbone import Backbone


def mlp(in_features: int, hidden: int, out_features: int) -> nn.Sequential:
    """Linear, ReLU, Linear: the two-layer non-linear head of appendix Sec. E.

    It acts on the last axis, [..., in_features] -> [..., out_features]. On maps with channels last
    that is a pair of 1-wide convolutions, for any number of spatial axes.

    Deviation: the released code stacks two linear layers without the ReLU.
    """
    return nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, out_features))


def global_average(maps: Tensor) -> Tensor:
    """Mean over the spatial axes, [B, D, *S] -> [B, D]."""
    return maps.flatten(2).mean(2)


def spread(features: Tensor) -> Tensor:
    """Standard deviation over the batch of [B, D], averaged over D; 0 tells of a collapse."""
    return features.detach().std(0).mean()


@torch.no_grad()
def effective_rank(features: Tensor) -> Tensor:
    """How many directions the rows of [n, D] fill, a scalar from 1 (all alike) to min(n, D).

    The exponential of the entropy of the singular values, as shares of their sum, of the rows at
    length 1 (Roy & Vetterli, EUSIPCO 2007). Rows are not centered, since one common direction is
    the collapse that this shall tell of.
    """
    values = torch.linalg.svdvals(functional.normalize(features, dim=1))
    shares = values / values.sum()
    rank: Tensor = torch.special.entr(shares).sum().exp()
    return rank


class ProjectedEncoder(nn.Module):
    """The encoder of a segmentation network, global average pooling, and a head on top.

    Args:
        network: the network whose encoder is trained; its decoder is left out.
        head: maps [B, D] to [B, E], D being the channels of the bottleneck.
    """

    def __init__(self, network: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.head = head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, channels, *S] -> features [B, D] of the bottleneck, embeddings [B, E]."""
        features = global_average(self.encoder(images)[-1])
        return features, self.head(features)

    def exported(self) -> dict[str, Tensor]:
        """The encoder's weights and buffers, named as in the segmentation network."""
        state = self.encoder.state_dict()
        return {f"encoder.{name}": tensor for name, tensor in state.items()}
