"""The segmentation backbone of the 2D experiments (appendix Sec. C): a five-level U-Net.

Blocks and network take the number of spatial axes, so a network over volumes is built from the
same parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from arco.errors import ArcoError
from arco.models.pyramid import upsample

CHANNELS = (16, 32, 64, 128, 256)
"""Channels per level, full resolution first (appendix Sec. C; released code)."""

ENCODER_DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Dropout probability per encoder level, full resolution first (released code)."""

NEGATIVE_SLOPE = 0.01

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class ConvolutionBlock(nn.Sequential):
    """Two times (3-wide convolution, batch norm, leaky ReLU), element dropout in between.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; the spatial size is kept.
        dropout: probability that an element between the convolutions is zeroed.
        spatial_axes: 2 or 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dropout: float, spatial_axes: int
    ) -> None:
        super().__init__(
            *self._half(in_channels, out_channels, spatial_axes),
            # Without a probability there is no module: dropout(p=0) would still copy the map.
            *([nn.Dropout(dropout)] if dropout else []),
            *self._half(out_channels, out_channels, spatial_axes),
        )

    @staticmethod
    def _half(in_channels: int, out_channels: int, spatial_axes: int) -> list[nn.Module]:
        return [
            _CONVOLUTION[spatial_axes](in_channels, out_channels, kernel_size=3, padding=1),
            _BATCH_NORM[spatial_axes](out_channels),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        ]


class Encoder(nn.Module):
    """Blocks separated by 2-wide max pooling; see `UNet` for the arguments."""

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        dropout: Sequence[float],
        spatial_axes: int,
    ) -> None:
        super().__init__()
        self.pool = _MAX_POOL[spatial_axes](kernel_size=2)
        self.blocks = nn.ModuleList(
            ConvolutionBlock(incoming, outgoing, probability, spatial_axes)
            for incoming, outgoing, probability in zip(
                (in_channels, *channels[:-1]), channels, dropout, strict=True
            )
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, channels, *S] -> one map per level, full resolution first."""
        maps = [self.blocks[0](images)]
        for block in self.blocks[1:]:
            maps.append(block(self.pool(maps[-1])))
        return maps


class UpBlock(nn.Module):
    """1-wide convolution to the skip's channels, linear up-sampling, concatenation, block."""

    def __init__(self, in_channels: int, skip_channels: int, spatial_axes: int) -> None:
        super().__init__()
        self.reduce = _CONVOLUTION[spatial_axes](in_channels, skip_channels, kernel_size=1)
        self.block = ConvolutionBlock(2 * skip_channels, skip_channels, 0.0, spatial_axes)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """The next shallower decoder map, of the skip's shape."""
        raised = upsample(self.reduce(deep), skip.shape[2:])
        return self.block(torch.cat([skip, raised], dim=1))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """From the encoder's maps to the feature pyramid; see `UNet` for the arguments."""

    def __init__(self, channels: Sequence[int], spatial_axes: int) -> None:
        super().__init__()
        deep_first = tuple(reversed(channels))
        self.blocks = nn.ModuleList(
            UpBlock(deep, skip, spatial_axes) for deep, skip in pairwise(deep_first)
        )

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """Encoder maps (full resolution first) -> pyramid (bottleneck first)."""
        pyramid = [encoded[-1]]
        for block, skip in zip(self.blocks, reversed(encoded[:-1]), strict=True):
            pyramid.append(block(pyramid[-1], skip))
        return pyramid


class UNet(nn.Module):
    """U-Net with linear (not transposed-convolution) up-sampling.

    Images [B, in_channels, *S] give logits [B, C, *S]; every axis of S must be divisible by
    2 ** (levels - 1).

    Args:
        in_channels: channels of an image.
        classes: C, background included.
        channels: channels per level, full resolution first.
        dropout: dropout probability per encoder level; the decoder has none.
        spatial_axes: 2 or 3.

    Attributes:
        feature_channels: channels of the maps `features` returns.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        channels: Sequence[int] = CHANNELS,
        dropout: Sequence[float] = ENCODER_DROPOUT,
        spatial_axes: int = 2,
    ) -> None:
        super().__init__()
        self.feature_channels = tuple(reversed(channels))
        self.encoder = Encoder(in_channels, channels, dropout, spatial_axes)
        self.decoder = Decoder(channels, spatial_axes)
        convolution = _CONVOLUTION[spatial_axes]
        self.classifier = convolution(channels[0], classes, kernel_size=3, padding=1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps, full resolution first, bottleneck last."""
        return self.encoder(images)  # type: ignore[no-any-return]

    def decode(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """The feature pyramid [f0 ... f4]: the bottleneck itself, then each decoder map."""
        return self.decoder(encoded)  # type: ignore[no-any-return]

    def classify(self, finest: Tensor) -> Tensor:
        """Logits [B, C, *S] from the last map of the pyramid."""
        return self.classifier(finest)  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> list[Tensor]:
        """The feature pyramid of images."""
        return self.decode(self.encode(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C, *S] of images [B, in_channels, *S]."""
        return self.classify(self.features(images)[-1])


def load_pretrained(network: UNet, state: Mapping[str, Tensor]) -> None:
    """Start a network from a pretraining checkpoint, in place.

    Args:
        network: a freshly built network.
        state: the weights of a whole network, or of its encoder alone (names `encoder.*`), as
            frameworks without a decoder leave them; the rest then keeps its initial values.

    Raises:
        ArcoError: names or shapes are those of neither.
    """
    own = network.state_dict()
    encoder = {name for name in own if name.startswith("encoder.")}
    misfits = sorted(set(state) ^ (set(own) if set(state) - encoder else encoder))
    misfits += [name for name in state if name in own and state[name].shape != own[name].shape]
    if misfits:
        raise ArcoError(
            f"the pretrained weights do not fit the network (first misfit: {misfits[0]}); "
            "pretrain again with the `network` settings of this run"
        )
    network.load_state_dict(state, strict=False)
