from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from arco.errors import ArcoError
from arco.models.backbone import load_pretrained
from arco.models.unet import UNet

SMALL = (2, 3, 4, 5, 6)


def small_network(seed: int = 0, spatial_axes: int = 2) -> UNet:
    torch.manual_seed(seed)
    return UNet(1, 3, SMALL, spatial_axes=spatial_axes)


@pytest.mark.parametrize(("classes", "count"), [(3, 1_813_619), (4, 1_813_764), (8, 1_814_344)])
def test_the_published_network_has_exactly_so_many_parameters(classes, count):
    assert sum(weight.numel() for weight in UNet(1, classes).parameters()) == count


def test_the_pyramid_starts_at_the_bottleneck_and_ends_at_full_resolution():
    network = small_network()
    features = network.features(torch.randn(2, 1, 32, 48))
    assert network.feature_channels == (6, 5, 4, 3, 2)
    assert [tuple(maps.shape) for maps in features] == [
        (2, 6, 2, 3), (2, 5, 4, 6), (2, 4, 8, 12), (2, 3, 16, 24), (2, 2, 32, 48)
    ]  # fmt: skip


def test_the_same_parts_make_a_network_over_volumes():
    features = small_network(spatial_axes=3).features(torch.randn(1, 1, 16, 32, 48))
    assert [tuple(maps.shape[2:]) for maps in features][::4] == [(1, 2, 3), (16, 32, 48)]


def test_forward_is_the_classifier_on_the_last_map():
    network = small_network().eval()
    images = torch.randn(2, 1, 16, 32)
    encoded = network.encode(images)
    assert [len(maps[0]) for maps in encoded] == list(SMALL)
    features = network.decode(encoded)
    assert features[0] is encoded[-1]
    assert torch.equal(network(images), network.classify(features[-1]))
    assert network(images).shape == (2, 3, 16, 32)


def test_a_decoder_level_joins_the_skip_with_the_reduced_map_raised_corners_aligned():
    network = small_network().eval()
    encoded = network.encode(torch.randn(2, 1, 16, 32))
    block = network.decoder.blocks[0]
    raised = functional.interpolate(
        block.reduce(encoded[4]), scale_factor=2, mode="bilinear", align_corners=True
    )
    expected = block.block(torch.cat([encoded[3], raised], dim=1))
    torch.testing.assert_close(network.decode(encoded)[1], expected)


def test_only_the_encoder_drops_elements():
    network = UNet(1, 4)
    rates = [module.p for module in network.encoder.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.05, 0.1, 0.2, 0.3, 0.5]
    assert not any(isinstance(module, nn.Dropout) for module in network.decoder.modules())


def test_a_whole_network_and_an_encoder_alone_can_be_loaded():
    source = small_network(seed=1)
    whole = small_network()
    load_pretrained(whole, source.state_dict())
    assert all(
        torch.equal(value, source.state_dict()[name]) for name, value in whole.state_dict().items()
    )
    partly, before = small_network(), small_network().state_dict()
    encoder = {name: v for name, v in source.state_dict().items() if name.startswith("encoder.")}
    load_pretrained(partly, encoder)
    for name, value in partly.state_dict().items():
        assert torch.equal(value, encoder.get(name, before[name]))


def damaged(change: str) -> dict[str, torch.Tensor]:
    state = dict(small_network(seed=1).state_dict())
    if change == "a name is missing":
        del state["classifier.bias"]
    elif change == "a name is foreign":
        state["projector.weight"] = torch.zeros(1)
    elif change == "a shape differs":
        state["classifier.bias"] = torch.zeros(7)
    elif change == "half an encoder":
        state = {"encoder.blocks.0.0.weight": state["encoder.blocks.0.0.weight"]}
    elif change == "nothing at all":
        state = {}
    return state


@pytest.mark.parametrize(
    "change",
    [
        "a name is missing",
        "a name is foreign",
        "a shape differs",
        "half an encoder",
        "nothing at all",
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(change):
    network, before = small_network(), small_network().state_dict()
    with pytest.raises(ArcoError, match="pretrained weights do not fit"):
        load_pretrained(network, damaged(change))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
