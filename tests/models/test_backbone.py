from __future__ import annotations

import pytest
import torch

from arco.models.unet import UNet
from arco.models.vnet import VNet

SMALL = (2, 3, 4, 5, 6)


def count(module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("network", "upsampling", "total"),
    [
        (UNet, (None, None, None), 3_713_664),
        (UNet, ("transposed",), 2_577_624),
        (UNet, ("transposed", "nearest"), 3_210_924),
        (VNet, (None, None, None), 15_664_776),
        (VNet, ("linear",), 12_347_716),
        (VNet, ("linear", "nearest"), 15_246_566),
    ],
)
def test_further_decoders_have_as_many_parameters_as_the_published_networks(
    network, upsampling, total
):
    backbone = network(1, 4 if network is UNet else 2)
    decoders = [backbone.auxiliary_decoder(kind) for kind in upsampling]
    assert count(backbone) + sum(map(count, decoders)) == total


@pytest.mark.parametrize("upsampling", ["linear", "transposed", "nearest", None])
@pytest.mark.parametrize("axes", [2, 3])
def test_every_decoder_gives_logits_of_the_image_s_size(axes, upsampling):
    network = UNet(2, 3, SMALL) if axes == 2 else VNet(2, 3, SMALL)
    images = torch.randn(2, 2, *(16, 32, 48)[:axes])
    logits = network.auxiliary_decoder(upsampling)(network.encode(images))
    assert logits.shape == (2, 3, *images.shape[2:])


@pytest.mark.parametrize("axes", [2, 3])
def test_decoders_start_from_weights_of_their_own(axes):
    network = UNet(1, 3) if axes == 2 else VNet(1, 3)
    first, second = network.auxiliary_decoder(), network.auxiliary_decoder()
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("axes", [2, 3])
def test_a_further_classifier_reads_its_level_of_the_pyramid(axes, level):
    network = UNet(1, 3, SMALL) if axes == 2 else VNet(1, 3, SMALL)
    maps = network.features(torch.randn(1, 1, *(16, 32, 16)[:axes]))[level]
    assert network.auxiliary_classifier(7, level)(maps).shape == (1, 7, *maps.shape[2:])
