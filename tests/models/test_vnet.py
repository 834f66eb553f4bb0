from __future__ import annotations

import pytest
import torch
from torch import nn

from arco.models.vnet import VNet

SMALL = (2, 3, 4, 5, 6)


def test_the_published_network_has_exactly_so_many_parameters():
    assert sum(weight.numel() for weight in VNet(1, 2).parameters()) == 9_448_866


def test_the_pyramid_holds_the_sums_of_each_level_and_the_last_map():
    torch.manual_seed(0)
    network = VNet(1, 3, SMALL).eval()
    images = torch.randn(2, 1, 16, 32, 48)
    encoded = network.encode(images)
    features = network.decode(encoded)
    assert network.feature_channels == (5, 4, 3, 2, 2)
    assert network.bottleneck_channels == 6
    assert [tuple(maps.shape[1:]) for maps in features] == [
        (5, 2, 4, 6), (4, 4, 8, 12), (3, 8, 16, 24), (2, 16, 32, 48), (2, 16, 32, 48)
    ]  # fmt: skip
    decoder = network.decoder
    climbed = decoder.climbs[1](decoder.levels[0](features[0]), encoded[2].shape[2:])
    torch.testing.assert_close(features[1], climbed + encoded[2])
    torch.testing.assert_close(features[4], decoder.levels[3](features[3]))


def test_there_are_as_many_convolutions_a_level_as_published():
    network = VNet(1, 2)
    assert [len(level) for level in network.encoder.levels] == [1, 2, 3, 3, 3]
    assert [len(level) for level in network.decoder.levels] == [3, 3, 2, 1]


def test_channels_are_dropped_after_the_bottleneck_and_before_the_last_layer_in_train_mode_only():
    torch.manual_seed(0)
    network = VNet(1, 2, SMALL)
    rates = [module.p for module in network.modules() if isinstance(module, nn.Dropout3d)]
    assert rates == [0.5, 0.5]
    images = torch.randn(2, 1, 16, 16, 16)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_dropped_bottleneck_channels_are_zero_as_a_whole():
    torch.manual_seed(0)
    network = VNet(1, 2, (2, 3, 4, 5, 64))
    bottleneck = network.encode(torch.randn(2, 1, 32, 16, 16))[-1]
    empty = (bottleneck == 0).flatten(2).all(dim=2).float().mean()
    assert 0.3 < empty < 0.8


@pytest.mark.parametrize("axes", [2, 3])
def test_the_same_code_makes_a_network_of_planes_or_volumes(axes):
    network = VNet(1, 4, SMALL, 0.0, axes)
    images = torch.randn(1, 1, *(16, 32, 48)[:axes])
    assert network(images).shape == (1, 4, *images.shape[2:])


def test_an_axis_that_cannot_be_halved_four_times_is_refused():
    with pytest.raises(RuntimeError, match="must match"):
        VNet(1, 2, SMALL)(torch.randn(2, 1, 16, 24, 16))


def test_the_last_layer_reads_maps_of_which_whole_channels_are_zero():
    torch.manual_seed(0)
    network = VNet(1, 2, (64, 3, 4, 5, 6))
    seen = []
    network.classifier[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    finest = network.features(torch.randn(2, 1, 16, 16, 32))[-1]
    network.classify(finest)
    dropped = (seen[0] == 0).flatten(2).all(dim=2)
    assert 0.3 < dropped.float().mean() < 0.7
    kept = ~dropped[..., None, None, None]
    torch.testing.assert_close(seen[0], finest * kept / 0.5)
