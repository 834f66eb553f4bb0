from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

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


@pytest.mark.parametrize(("network", "classes", "extra"), [(UNet, 4, 8_076), (VNet, 2, 454)])
def test_further_classifiers_at_three_scales_have_as_many_parameters_as_urpc_s(
    network, classes, extra
):
    backbone = network(1, classes)
    levels = [backbone.strides.index(stride) for stride in (8, 4, 2)]
    assert sum(count(backbone.auxiliary_classifier(classes, level)) for level in levels) == extra


@pytest.mark.parametrize("upsampling", ["linear", "transposed", "nearest", None])
@pytest.mark.parametrize("axes", [2, 3])
def test_every_decoder_gives_logits_of_the_image_s_size(axes, upsampling):
    network = UNet(2, 3, SMALL) if axes == 2 else VNet(2, 3, SMALL)
    images = torch.randn(2, 2, *(16, 32, 48)[:axes])
    logits = network.auxiliary_decoder(upsampling)(network.encode(images))
    assert logits.shape == (2, 3, *images.shape[2:])


@pytest.mark.parametrize(("axes", "own"), [(2, "linear"), (3, "transposed")])
def test_a_further_decoder_with_the_network_s_weights_gives_the_network_s_logits(axes, own):
    network = (UNet(1, 3, SMALL) if axes == 2 else VNet(1, 3, SMALL)).eval()
    images = torch.randn(2, 1, *(16, 32, 48)[:axes])
    encoded = network.encode(images)
    for upsampling in (None, own):
        further = network.auxiliary_decoder(upsampling).eval()
        assert not torch.equal(further(encoded), network(images))
        further.decoder.load_state_dict(network.decoder.state_dict())
        further.classifier.load_state_dict(network.classifier.state_dict())
        assert torch.equal(further(encoded), network(images))


@pytest.mark.parametrize(
    ("upsampling", "mode"), [("linear", {2: "bilinear", 3: "trilinear"}), ("nearest", None)]
)
@pytest.mark.parametrize("axes", [2, 3])
def test_linear_and_nearest_decoders_differ_in_the_interpolation_alone(axes, upsampling, mode):
    network = (UNet(1, 3, SMALL) if axes == 2 else VNet(1, 3, SMALL)).eval()
    encoded = network.encode(torch.randn(2, 1, *(16, 32, 48)[:axes]))
    decoder = network.auxiliary_decoder(upsampling).decoder.eval()
    size = encoded[3].shape[2:]

    def twice_as_large(maps):
        if mode is None:
            return functional.interpolate(maps, size, mode="nearest")
        return functional.interpolate(maps, size, mode=mode[axes], align_corners=True)

    if axes == 2:  # narrowed, enlarged, joined
        block = decoder.blocks[0]
        joined = torch.cat([encoded[3], twice_as_large(block.reduce(encoded[4]))], dim=1)
        found, expected = decoder(encoded)[1], block.block(joined)
    else:  # enlarged, narrowed, added
        found = decoder(encoded)[0]
        expected = decoder.climbs[0].block(twice_as_large(encoded[4])) + encoded[3]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("axes", [2, 3])
def test_strides_are_those_of_the_pyramid(axes):
    network = UNet(1, 3, SMALL) if axes == 2 else VNet(1, 3, SMALL)
    features = network.features(torch.randn(1, 1, *(16, 32, 48)[:axes]))
    assert [maps.shape[1] for maps in features] == list(network.feature_channels)
    for maps, stride in zip(features, network.strides, strict=True):
        assert maps.shape[2:] == torch.Size(n // stride for n in (16, 32, 48)[:axes])


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


@pytest.mark.parametrize("axes", [2, 3])
def test_mixed_precision_rounds_inside_and_hands_out_float32(axes):
    network = (UNet(1, 3, SMALL) if axes == 2 else VNet(1, 3, SMALL)).eval()
    images = torch.randn(2, 1, *(16, 32, 48)[:axes])
    exact = network(images)
    network.mixed_precision = True
    inside = []
    network.encoder.register_forward_hook(lambda *seen: inside.append(seen[-1][-1].dtype))
    encoded = network.encode(images)
    logits = network(images)
    further = network.auxiliary_decoder()(encoded)
    assert set(inside) == {torch.bfloat16}
    assert {maps.dtype for maps in (*encoded, *network.decode(encoded), logits, further)} == {
        torch.float32
    }
    assert not torch.equal(logits, exact)
    torch.testing.assert_close(logits, exact, rtol=0.1, atol=0.1)
    network.train()(images).square().mean().backward()
    assert all(weight.grad.dtype == torch.float32 for weight in network.parameters())
    assert copy.deepcopy(network).mixed_precision
