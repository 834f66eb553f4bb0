from __future__ import annotations

import torch

from arco.models.memory_format import channels_last
from arco.models.unet import UNet
from arco.models.vnet import VNet


def test_the_network_computes_the_same_and_its_maps_follow_the_order():
    network = UNet(1, 3, (4, 6, 8, 10, 12)).eval()
    images = torch.randn(2, 1, 32, 48)
    expected = network(images)
    assert channels_last(network) is network
    features = network.features(images)
    torch.testing.assert_close(network.classify(features[-1]), expected, rtol=1e-4, atol=1e-5)
    assert all(maps.is_contiguous(memory_format=torch.channels_last) for maps in features)


def test_networks_over_volumes_follow_too():
    network = VNet(1, 3, (2, 3, 4, 5, 6)).eval()
    images = torch.randn(2, 1, 16, 16, 32)
    expected = network(images)
    features = channels_last(network).features(images)
    torch.testing.assert_close(network.classify(features[-1]), expected, rtol=1e-4, atol=1e-5)
    assert all(maps.is_contiguous(memory_format=torch.channels_last_3d) for maps in features)


def test_without_planes_networks_over_slices_are_left_as_they_are():
    network = channels_last(UNet(1, 3, (2, 2, 2, 2, 2)), planes=False)
    assert all(weight.is_contiguous() for weight in network.parameters())
