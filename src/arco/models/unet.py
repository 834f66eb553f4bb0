"""The segmentation backbone of the 2D experiments (appendix Sec. C): a five-level U-Net.

Blocks and network take the number of spatial axes, so a network over volumes is built from the
same parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from arco.models.backbone import (
    BATCH_NORM,
    CONVOLUTION,
    TRANSPOSED,
    AuxiliaryDecoder,
    Backbone,
    Upsampling,
    enlarge,
)

CHANNELS = (16, 32, 64, 128, 256)
"""Channels per level, full resolution first (appendix Sec. C; released code)."""

ENCODER_DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Dropout probability per encoder level, full resolution first (released code)."""

NEGATIVE_SLOPE = 0.01

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
            CONVOLUTION[spatial_axes](in_channels, out_channels, kernel_size=3, padding=1),
            BATCH_NORM[spatial_axes](out_channels),
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
    """To the skip's channels and size, concatenation, block.

    A 1-wide convolution and interpolation, or a 2-wide transposed convolution.
    """

    def __init__(
        self, in_channels: int, skip_channels: int, spatial_axes: int, upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        if upsampling == "transposed":
            self.reduce: nn.Module = TRANSPOSED[spatial_axes](
                in_channels, skip_channels, kernel_size=2, stride=2
            )
        else:
            self.reduce = CONVOLUTION[spatial_axes](in_channels, skip_channels, kernel_size=1)
        self.block = ConvolutionBlock(2 * skip_channels, skip_channels, 0.0, spatial_axes)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """The next shallower decoder map, of the skip's shape."""
        raised = self.reduce(deep)
        if self.upsampling != "transposed":
            raised = enlarge(raised, skip.shape[2:], self.upsampling)
        return self.block(torch.cat([skip, raised], dim=1))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """From the encoder's maps to the feature pyramid; see `UNet` for the arguments."""

    def __init__(
        self, channels: Sequence[int], spatial_axes: int, upsampling: Upsampling = "linear"
    ) -> None:
        super().__init__()
        deep_first = tuple(reversed(channels))
        self.blocks = nn.ModuleList(
            UpBlock(deep, skip, spatial_axes, upsampling) for deep, skip in pairwise(deep_first)
        )

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """Encoder maps (full resolution first) -> pyramid (bottleneck first)."""
        pyramid = [encoded[-1]]
        for block, skip in zip(self.blocks, reversed(encoded[:-1]), strict=True):
            pyramid.append(block(pyramid[-1], skip))
        return pyramid


class UNet(Backbone):
    """U-Net with linear (not transposed-convolution) up-sampling; see `Backbone`.

    Its pyramid starts with the bottleneck itself; then comes each decoder map.

    Args:
        in_channels: channels of an image.
        classes: C, background included.
        channels: channels per level, full resolution first.
        dropout: dropout probability per encoder level; the decoder has none.
        spatial_axes: 2 or 3.
    """

    strides = (16, 8, 4, 2, 1)

    def __init__(
        self,
        in_channels: int,
        classes: int,
        channels: Sequence[int] = CHANNELS,
        dropout: Sequence[float] = ENCODER_DROPOUT,
        spatial_axes: int = 2,
    ) -> None:
        super().__init__()
        self.spatial_axes = spatial_axes
        self.classes = classes
        self.feature_channels = tuple(reversed(channels))
        self.bottleneck_channels = channels[-1]
        self.encoder = Encoder(in_channels, channels, dropout, spatial_axes)
        self.decoder = Decoder(channels, spatial_axes)
        self.classifier = self.auxiliary_classifier(classes)

    def auxiliary_classifier(self, channels: int, level: int = -1) -> nn.Module:
        """A 3-wide convolution; see `Backbone`."""
        width = self.feature_channels[level]
        return CONVOLUTION[self.spatial_axes](width, channels, kernel_size=3, padding=1)

    def auxiliary_decoder(self, upsampling: Upsampling | None = None) -> AuxiliaryDecoder:
        """By default with linear up-sampling; see `Backbone`."""
        channels = tuple(reversed(self.feature_channels))
        decoder = Decoder(channels, self.spatial_axes, upsampling or "linear")
        return AuxiliaryDecoder(
            decoder,
            self.auxiliary_classifier(self.classes),
            mixed_precision=self.mixed_precision,
        )
