"""The networks compute what the published ones do, to the last bit, with the same weights.

The published U-Net and V-Net (SSL4MIS) are written down again here from plain layers.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from arco.models.unet import UNet
from arco.models.vnet import VNet

CHANNELS = (16, 32, 64, 128, 256)
CLASSES = 4


class PublishedUNet(nn.Module):
    """Two 3 x 3 convolutions a level, max pooling, 1 x 1 convolutions and bilinear raising."""

    def __init__(self) -> None:
        super().__init__()
        dropout = (0.05, 0.1, 0.2, 0.3, 0.5)
        widths = zip((1, *CHANNELS[:-1]), CHANNELS, dropout, strict=True)
        self.downward = nn.ModuleList(self.block(*width) for width in widths)
        steps = [*pairwise(CHANNELS[::-1])]
        self.reducing = nn.ModuleList(nn.Conv2d(deep, skip, 1) for deep, skip in steps)
        self.upward = nn.ModuleList(self.block(2 * skip, skip, 0.0) for _, skip in steps)
        self.last = nn.Conv2d(CHANNELS[0], CLASSES, 3, padding=1)
        self.raising = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    @staticmethod
    def block(incoming: int, outgoing: int, dropout: float) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(incoming, outgoing, 3, padding=1),
            nn.BatchNorm2d(outgoing),
            nn.LeakyReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(outgoing, outgoing, 3, padding=1),
            nn.BatchNorm2d(outgoing),
            nn.LeakyReLU(),
        )

    def in_our_order(self) -> list[nn.Module]:
        upward = zip(self.reducing, self.upward, strict=True)
        return [*self.downward, *(part for pair in upward for part in pair), self.last]

    def forward(self, images: Tensor) -> Tensor:
        skips, maps = [], images
        for level, block in enumerate(self.downward):
            maps = block(nn.functional.max_pool2d(maps, 2) if level else maps)
            skips.append(maps)
        skips.pop()
        for reduce, block in zip(self.reducing, self.upward, strict=True):
            maps = block(torch.cat([skips.pop(), self.raising(reduce(maps))], dim=1))
        return self.last(maps)


class PublishedVNet(nn.Module):
    """Levels of 1, 2, 3, 3, 3, then 3, 3, 2, 1 convolutions, strided ones between; skips added."""

    def __init__(self) -> None:
        super().__init__()
        steps = [*pairwise(CHANNELS)]
        self.downward = nn.ModuleList(
            self.block(count, width if level else 1, width)
            for level, (count, width) in enumerate(zip((1, 2, 3, 3, 3), CHANNELS, strict=True))
        )
        self.halving = nn.ModuleList(
            self.normalized(nn.Conv3d(fine, coarse, 2, stride=2)) for fine, coarse in steps
        )
        self.raising = nn.ModuleList(
            self.normalized(nn.ConvTranspose3d(coarse, fine, 2, stride=2))
            for fine, coarse in reversed(steps)
        )
        self.upward = nn.ModuleList(
            self.block(count, width, width)
            for count, width in zip((3, 3, 2, 1), CHANNELS[-2::-1], strict=True)
        )
        self.last = nn.Conv3d(CHANNELS[0], CLASSES, 1)
        self.dropout = nn.Dropout3d(0.5)

    @staticmethod
    def normalized(convolution: nn.Conv3d | nn.ConvTranspose3d) -> nn.Sequential:
        return nn.Sequential(convolution, nn.BatchNorm3d(convolution.out_channels), nn.ReLU())

    @classmethod
    def block(cls, count: int, incoming: int, outgoing: int) -> nn.Sequential:
        widths = [incoming, *[outgoing] * count]
        return nn.Sequential(
            *(cls.normalized(nn.Conv3d(*width, 3, padding=1)) for width in pairwise(widths))
        )

    def in_our_order(self) -> list[nn.Module]:
        return [*self.downward, *self.halving, *self.raising, *self.upward, self.last]

    def forward(self, images: Tensor) -> Tensor:
        skips = [self.downward[0](images)]
        for halve, block in zip(self.halving, self.downward[1:], strict=True):
            skips.append(block(halve(skips[-1])))
        maps = self.dropout(skips.pop())
        for raise_, block in zip(self.raising, self.upward, strict=True):
            maps = block(raise_(maps) + skips.pop())
        return self.last(self.dropout(maps))


def weighted(modules: list[nn.Module]) -> list[nn.Module]:
    """The convolutions and norms among modules and their parts, in order."""
    parts = [part for module in modules for part in module.modules()]
    return [part for part in parts if isinstance(getattr(part, "weight", None), Tensor)]


def randomize(network: nn.Module) -> None:
    """Give norms weights and statistics too: those of a fresh network hide what is done to them."""
    for part in weighted([network]):
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("ours", "published", "size"),
    [(UNet, PublishedUNet, (32, 48)), (VNet, PublishedVNet, (16, 16, 32))],
)
def test_output_gradients_and_statistics_equal_the_published_network_s(
    ours: type[UNet | VNet],
    published: type[PublishedUNet | PublishedVNet],
    size: tuple[int, ...],
    training: bool,
) -> None:
    """In train mode the same random numbers drop the same elements, or channels."""
    torch.manual_seed(0)
    network, reference = ours(1, CLASSES).train(training), published().train(training)
    randomize(network)
    pairs = [*zip(weighted([network]), weighted(reference.in_our_order()), strict=True)]
    for own, theirs in pairs:
        assert type(own) is type(theirs)
        theirs.load_state_dict(own.state_dict())
    shown = [torch.rand(2, 1, *size).requires_grad_()]
    shown.append(shown[0].detach().clone().requires_grad_())
    direction = torch.randn(2, CLASSES, *size)
    logits = []
    for module, images in zip((network, reference), shown, strict=True):
        torch.manual_seed(1)
        logits.append(module(images))
        torch.autograd.backward((logits[-1] * direction).sum())
    assert torch.equal(*logits)
    assert torch.equal(shown[0].grad, shown[1].grad)
    for own, theirs in pairs:
        assert all(map(torch.equal, own.state_dict().values(), theirs.state_dict().values()))
        for weight, their_weight in zip(own.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(weight.grad, their_weight.grad)
