"""The critic of adversarial methods, with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.models.backbone import CONVOLUTION
from arco.optimizers import without_compiler

LR = 1e-4
BETAS = (0.9, 0.99)
"""Adam's constants in the public code of DAN and SASSNet."""

SLOPE = 0.2
DROPOUT = 0.5

_DROP_CHANNELS = {2: nn.Dropout2d, 3: nn.Dropout3d}


class Discriminator(nn.Module):
    """Tells from maps and images whether an image was labeled: logits [B, 2].

    Two convolutions, of the maps and of the image, are added; three more follow, a global average
    and a linear layer. All are 4-wide with stride 2. As in SSL4MIS, except that one rule holds for
    planes and volumes (activation after the sum, global average): its fixed pools fail at other
    sizes than their own.

    Args:
        map_channels: channels of the maps that are judged.
        image_channels: channels of the images.
        width: channels of the first layer; they double three times.
        spatial_axes: 2 or 3; every axis has at least 16 pixels.
    """

    def __init__(
        self, map_channels: int, image_channels: int, width: int, spatial_axes: int
    ) -> None:
        super().__init__()

        def halving(incoming: int, outgoing: int) -> nn.Module:
            return CONVOLUTION[spatial_axes](incoming, outgoing, 4, stride=2, padding=1)

        self.of_maps = halving(map_channels, width)
        self.of_images = halving(image_channels, width)
        self.rest = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            _DROP_CHANNELS[spatial_axes](DROPOUT),
            halving(width, 2 * width),
            nn.LeakyReLU(SLOPE),
            _DROP_CHANNELS[spatial_axes](DROPOUT),
            halving(2 * width, 4 * width),
            nn.LeakyReLU(SLOPE),
            _DROP_CHANNELS[spatial_axes](DROPOUT),
            halving(4 * width, 8 * width),
            nn.LeakyReLU(SLOPE),
        )
        self.classifier = nn.Linear(8 * width, 2)

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        """Maps [B, map_channels, *S] and images [B, image_channels, *S] -> logits [B, 2]."""
        features = self.rest(self.of_maps(maps) + self.of_images(images))
        return self.classifier(features.flatten(2).mean(dim=2))  # type: ignore[no-any-return]


class Adversary(nn.Module):
    """A discriminator that learns by itself and is frozen for everybody else.

    Its parameters require a gradient, and it is in train mode, only inside `update`; so the loop's
    optimizer never takes them up. The state of its Adam is part of its `state_dict`.
    """

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator.requires_grad_(False).eval()
        self.optimizer = without_compiler(torch.optim.Adam)(discriminator.parameters(), LR, BETAS)

    def train(self, mode: bool = True) -> Adversary:  # noqa: ARG002
        """Stays in evaluation mode."""
        return super().train(False)

    def fooled(self, maps: Tensor, images: Tensor) -> Tensor:
        """Cross-entropy of taking these images for labeled ones; the gradient reaches the maps."""
        verdicts = self.discriminator(maps, images)
        labeled = torch.ones(len(maps), dtype=torch.int64, device=maps.device)
        return functional.cross_entropy(verdicts, labeled)

    def update(self, maps: Tensor, images: Tensor, labeled: int) -> Tensor:
        """One step of the discriminator.

        Args:
            maps: [B, map_channels, *S], constants.
            images: [B, image_channels, *S].
            labeled: how many of them, the first ones, are labeled.

        Returns:
            Its cross-entropy before the step.
        """
        truth = (torch.arange(len(maps), device=maps.device) < labeled).long()
        self.discriminator.requires_grad_(True).train()
        loss = functional.cross_entropy(self.discriminator(maps.detach(), images), truth)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(False).eval()
        return loss.detach()

    def get_extra_state(self) -> dict[str, Any]:
        """The optimizer's state."""
        return self.optimizer.state_dict()

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take over an optimizer's state."""
        self.optimizer.load_state_dict(dict(state))


@torch.no_grad()
def in_evaluation(network: nn.Module, images: Tensor) -> Any:
    """What a network makes of images in evaluation mode; afterwards it trains on as before."""
    training = network.training
    network.eval()
    output = network(images)
    network.train(training)
    return output
