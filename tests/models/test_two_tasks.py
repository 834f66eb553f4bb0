from __future__ import annotations

import pytest
import torch

from arco.models.two_tasks import TwoTasks
from arco.models.unet import UNet
from arco.models.vnet import VNet

CHANNELS = (2, 3, 4, 5, 6)


@pytest.mark.parametrize("axes", [2, 3])
def test_both_heads_read_the_same_features_dropped_channels_included(axes):
    torch.manual_seed(0)
    network = UNet(1, 3, CHANNELS) if axes == 2 else VNet(1, 3, CHANNELS, 0.5)
    tasks = TwoTasks(network, 3).train()
    convolution = network.classifier if axes == 2 else network.classifier[-1]
    tasks.distance_head.weight.data.copy_(convolution.weight[1:])
    tasks.distance_head.bias.data.copy_(convolution.bias[1:])
    images = torch.randn(2, 1, *(16,) * axes)
    for _ in range(3):
        logits, distances = tasks(images)
        assert logits.shape == (2, 3, *images.shape[2:])
        torch.testing.assert_close(distances, logits[:, 1:].tanh())


def test_logits_are_those_of_the_network_alone():
    torch.manual_seed(0)
    network = VNet(1, 2, CHANNELS, 0.5)
    tasks = TwoTasks(network, 2).eval()
    images = torch.randn(1, 1, 16, 32, 16)
    assert torch.equal(tasks(images)[0], network.eval()(images))


@pytest.mark.parametrize("axes", [2, 3])
def test_distances_keep_float32_beside_a_network_of_mixed_precision(axes):
    torch.manual_seed(0)
    network = UNet(1, 3, CHANNELS) if axes == 2 else VNet(1, 3, CHANNELS, 0.5)
    tasks = TwoTasks(network, 3).eval()
    network.mixed_precision = True
    images = torch.randn(2, 1, *(16,) * axes)
    with torch.no_grad():
        logits, distances = tasks(images)
        expected = tasks.distance_head(network.features(images)[-1]).tanh()
    assert torch.equal(logits, logits.bfloat16().float())
    assert torch.equal(distances, expected)
    assert not torch.equal(distances.atanh(), distances.atanh().bfloat16().float())
