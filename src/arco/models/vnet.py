"""The segmentation network of volumes (appendix Sec. C): the V-Net of the SSL4MIS family.

Milletari et al., 3DV 2016, as the field's code has it: without residual connections, skips are
added instead of concatenated, and channels are dropped after the bottleneck and before the last
convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
"""Channels per level, full resolution first (released code)."""

ENCODER_CONVOLUTIONS = (1, 2, 3, 3, 3)
"""Convolutions per encoder level, full resolution first."""

DECODER_CONVOLUTIONS = (3, 3, 2, 1)
"""Convolutions per decoder level, coarse to fine."""

DROPOUT = 0.5

_DROP_CHANNELS = {2: nn.Dropout2d, 3: nn.Dropout3d}


def normalized(convolution: nn.Module, channels: int, spatial_axes: int) -> nn.Sequential:
    """A convolution, batch norm and ReLU."""
    return nn.Sequential(convolution, BATCH_NORM[spatial_axes](channels), nn.ReLU(inplace=True))


def convolutions(count: int, in_channels: int, channels: int, spatial_axes: int) -> nn.Sequential:
    """`count` 3-wide convolutions with batch norm and ReLU; the spatial size is kept."""
    convolution = CONVOLUTION[spatial_axes]
    return nn.Sequential(
        *(
            normalized(
                convolution(channels if index else in_channels, channels, 3, padding=1),
                channels,
                spatial_axes,
            )
            for index in range(count)
        )
    )


class Encoder(nn.Module):
    """Levels of convolutions, halved in between by 2-wide convolutions of stride 2."""

    def __init__(
        self, in_channels: int, channels: Sequence[int], dropout: float, spatial_axes: int
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_axes]
        self.levels = nn.ModuleList(
            convolutions(count, width if level else in_channels, width, spatial_axes)
            for level, (count, width) in enumerate(zip(ENCODER_CONVOLUTIONS, channels, strict=True))
        )
        self.halvings = nn.ModuleList(
            normalized(convolution(fine, coarse, 2, stride=2), coarse, spatial_axes)
            for fine, coarse in pairwise(channels)
        )
        self.dropout = _DROP_CHANNELS[spatial_axes](dropout)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, channels, *S] -> one map per level, full resolution first."""
        maps = [self.levels[0](images)]
        for halving, level in zip(self.halvings, self.levels[1:], strict=True):
            maps.append(level(halving(maps[-1])))
        maps[-1] = self.dropout(maps[-1])
        return maps


class Climb(nn.Module):
    """From a coarse map to the channels and size of the next finer one.

    A 2-wide transposed convolution; or interpolation followed by a 3-wide convolution.
    """

    def __init__(self, coarse: int, fine: int, upsampling: Upsampling, spatial_axes: int) -> None:
        super().__init__()
        self.upsampling = upsampling
        if upsampling == "transposed":
            convolution: nn.Module = TRANSPOSED[spatial_axes](coarse, fine, 2, stride=2)
        else:
            convolution = CONVOLUTION[spatial_axes](coarse, fine, 3, padding=1)
        self.block = normalized(convolution, fine, spatial_axes)

    def forward(self, deep: Tensor, size: Sequence[int]) -> Tensor:
        """[B, coarse, *s] -> [B, fine, *size]."""
        if self.upsampling != "transposed":
            deep = enlarge(deep, size, self.upsampling)
        return self.block(deep)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Climbs level by level; each level adds the encoder's map and convolves."""

    def __init__(
        self, channels: Sequence[int], spatial_axes: int, upsampling: Upsampling = "transposed"
    ) -> None:
        super().__init__()
        deep_first = tuple(reversed(channels))
        self.climbs = nn.ModuleList(
            Climb(coarse, fine, upsampling, spatial_axes) for coarse, fine in pairwise(deep_first)
        )
        self.levels = nn.ModuleList(
            convolutions(count, width, width, spatial_axes)
            for count, width in zip(DECODER_CONVOLUTIONS, deep_first[1:], strict=True)
        )

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """Encoder maps (full resolution first) -> the sums of each level, then the last map."""
        pyramid = []
        maps = encoded[-1]
        skips = reversed(encoded[:-1])
        for climb, level, skip in zip(self.climbs, self.levels, skips, strict=True):
            pyramid.append(climb(maps, skip.shape[2:]) + skip)
            maps = level(pyramid[-1])
        return [*pyramid, maps]


class VNet(Backbone):
    """V-Net; see `Backbone`.

    Its pyramid holds the map of each decoder level after the skip was added (an eighth, a
    quarter, half and the full resolution), then the output of the last level.

    Args:
        in_channels: channels of an image.
        classes: C, background included.
        channels: channels per level, full resolution first.
        dropout: probability that a channel is dropped, in train mode.
        spatial_axes: 2 or 3.
    """

    strides = (8, 4, 2, 1, 1)

    def __init__(
        self,
        in_channels: int,
        classes: int,
        channels: Sequence[int] = CHANNELS,
        dropout: float = DROPOUT,
        spatial_axes: int = 3,
    ) -> None:
        super().__init__()
        self.spatial_axes = spatial_axes
        self.channels = tuple(channels)
        self.classes = classes
        self.dropout = dropout
        self.bottleneck_channels = channels[-1]
        self.feature_channels = (*reversed(channels[:-1]), channels[0])
        self.encoder = Encoder(in_channels, channels, dropout, spatial_axes)
        self.decoder = Decoder(channels, spatial_axes)
        self.classifier = self.auxiliary_classifier(classes)

    def auxiliary_classifier(self, channels: int, level: int = -1) -> nn.Module:
        """Channel dropout and a 1-wide convolution; see `Backbone`."""
        convolution = CONVOLUTION[self.spatial_axes](self.feature_channels[level], channels, 1)
        return nn.Sequential(_DROP_CHANNELS[self.spatial_axes](self.dropout), convolution)

    def auxiliary_decoder(self, upsampling: Upsampling | None = None) -> AuxiliaryDecoder:
        """By default with transposed convolutions; see `Backbone`."""
        decoder = Decoder(self.channels, self.spatial_axes, upsampling or "transposed")
        return AuxiliaryDecoder(
            decoder,
            self.auxiliary_classifier(self.classes),
            mixed_precision=self.mixed_precision,
        )
