"""What the segmentation networks of slices and of volumes have in common.

An encoder of five levels, a decoder that climbs back, a last convolution to class logits. Methods
use these parts by the names below and never ask which network they hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.errors import ArcoError
from arco.models.pyramid import upsample

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

Upsampling = Literal["linear", "transposed", "nearest"]


def enlarge(maps: Tensor, size: Sequence[int], upsampling: Upsampling) -> Tensor:
    """Resample [B, channels, *S] to `size`, linearly (corners aligned) or by the nearest pixel."""
    if upsampling == "linear":
        return upsample(maps, size)
    return functional.interpolate(maps, size=tuple(size), mode="nearest")


def autocast(maps: Tensor, *, mixed_precision: bool) -> torch.autocast:
    """Convolutions of what follows in bfloat16, or in float32, on the device of `maps`.

    bfloat16 has the range of float32: no loss has to be scaled.
    """
    return torch.autocast(maps.device.type, torch.bfloat16, enabled=mixed_precision)


def full_precision(maps: Tensor) -> Tensor:
    """Maps of bfloat16 as float32, others as they are."""
    return maps.float() if maps.dtype == torch.bfloat16 else maps


class AuxiliaryDecoder(nn.Module):
    """A further decoder with its own last convolution: encoder maps in, logits [B, C, *S] out."""

    def __init__(self, decoder: nn.Module, classifier: nn.Module, *, mixed_precision: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.classifier = classifier
        self.mixed_precision = mixed_precision

    def forward(self, encoded: Sequence[Tensor]) -> Tensor:
        """Logits from `Backbone.encode`'s maps."""
        with autocast(encoded[-1], mixed_precision=self.mixed_precision):
            logits: Tensor = self.classifier(self.decoder(encoded)[-1])
        return full_precision(logits)


class Backbone(nn.Module, ABC):
    """A segmentation network: images [B, in_channels, *S] to logits [B, C, *S].

    Every axis of S must be divisible by 16, as the resolution is halved four times.

    Attributes:
        encoder, decoder, classifier: its three parts, which name its weights.
        feature_channels: channels of the maps `features` returns, coarse to fine.
        strides: the full resolution divided by that of each of these maps.
        bottleneck_channels: channels of the last map `encode` returns.
        spatial_axes: 2 or 3.
        mixed_precision: whether its convolutions are computed in bfloat16. What the methods below
            take and return is float32 either way, so that losses keep their digits.
    """

    mixed_precision = False
    encoder: nn.Module
    decoder: nn.Module
    classifier: nn.Module
    feature_channels: tuple[int, ...]
    strides: tuple[int, ...]
    bottleneck_channels: int
    spatial_axes: int

    @abstractmethod
    def auxiliary_classifier(self, channels: int, level: int = -1) -> nn.Module:
        """A new last convolution, of the network's own kind.

        Args:
            channels: of its output.
            level: the map of the pyramid that it reads.
        """

    @abstractmethod
    def auxiliary_decoder(self, upsampling: Upsampling | None = None) -> AuxiliaryDecoder:
        """A new decoder of the network's shape, with initial weights of its own.

        Args:
            upsampling: how it climbs; None for the network's own way. Networks that differ in
                nothing else are what MC-Net compares.
        """

    def encode(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps, full resolution first, bottleneck last."""
        with autocast(images, mixed_precision=self.mixed_precision):
            return [full_precision(maps) for maps in self.encoder(images)]

    def decode(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """The feature pyramid [f0 ... f4], coarse to fine; the last is the decoder's output."""
        with autocast(encoded[-1], mixed_precision=self.mixed_precision):
            return [full_precision(maps) for maps in self.decoder(encoded)]

    def classify(self, finest: Tensor) -> Tensor:
        """Logits [B, C, *S] from the last map of the pyramid."""
        with autocast(finest, mixed_precision=self.mixed_precision):
            logits: Tensor = self.classifier(finest)
        return full_precision(logits)

    def features(self, images: Tensor) -> list[Tensor]:
        """The feature pyramid of images."""
        return self.decode(self.encode(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C, *S] of images [B, in_channels, *S]."""
        return self.classify(self.features(images)[-1])


def load_pretrained(network: Backbone, state: Mapping[str, Tensor]) -> None:
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
            "pretrain again with the `networks` settings of this run"
        )
    network.load_state_dict(state, strict=False)
