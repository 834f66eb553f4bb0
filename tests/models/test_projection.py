from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from arco.models.backbone import load_pretrained
from arco.models.projection import (
    ProjectedEncoder,
    effective_rank,
    global_average,
    mlp,
    spread,
)
from arco.models.unet import UNet

CHANNELS = (2, 3, 4, 5, 6)


def network(axes: int = 2) -> UNet:
    return UNet(1, 3, CHANNELS, (0.0,) * 5, axes)


def test_the_head_on_channels_last_is_a_pair_of_one_wide_convolutions() -> None:
    head = mlp(3, 6, 4).double()
    maps = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    first, second = head[0], head[2]
    hidden = functional.conv2d(maps, first.weight[..., None, None], first.bias).relu()
    expected = functional.conv2d(hidden, second.weight[..., None, None], second.bias)
    torch.testing.assert_close(head(maps.movedim(1, -1)).movedim(-1, 1), expected)


def test_the_head_is_not_linear() -> None:
    head = mlp(4, 8, 2)
    vector = torch.randn(1, 4)
    middle = head(torch.zeros(1, 4))
    assert not torch.allclose(head(vector) + head(-vector), 2 * middle)


@pytest.mark.parametrize("size", [(4, 6), (2, 4, 6)])
def test_global_average_is_the_mean_over_all_positions(size: tuple[int, ...]) -> None:
    maps = torch.randn(2, 5, *size)
    expected = maps.mean(tuple(range(2, maps.ndim)))
    torch.testing.assert_close(global_average(maps), expected)


@pytest.mark.parametrize("size", [(32, 48), (16, 32, 48)])
def test_features_are_the_averaged_bottleneck(size: tuple[int, ...]) -> None:
    unet = network(len(size))
    images = torch.rand(3, 1, *size)
    features, embeddings = ProjectedEncoder(unet, mlp(6, 8, 4))(images)
    assert features.shape == (3, unet.feature_channels[0]) and embeddings.shape == (3, 4)
    bottleneck = unet.encode(images)[-1]
    torch.testing.assert_close(features, bottleneck.mean(tuple(range(2, bottleneck.ndim))))


def test_exported_weights_fit_a_network_and_change_its_encoder_alone() -> None:
    torch.manual_seed(0)
    source, target = network(), network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    exported = ProjectedEncoder(source, mlp(6, 8, 4)).exported()
    load_pretrained(target, exported)
    for name, tensor in target.state_dict().items():
        is_encoder = name.startswith("encoder.")
        assert (name in exported) == is_encoder
        assert torch.equal(tensor, source.state_dict()[name] if is_encoder else before[name])


def test_spread_is_zero_for_collapsed_features_only() -> None:
    assert spread(torch.ones(4, 3)) == 0
    assert spread(torch.tensor([[0.0, 0.0], [2.0, 4.0]])).item() == pytest.approx(1.5 * 2**0.5)


@pytest.mark.parametrize(("count", "directions", "expected"), [
    (6, 1, 1.0), (6, 2, 2.0), (6, 3, 3.0), (3, 3, 3.0), (2, 5, 2.0),
])  # fmt: skip
def test_the_effective_rank_counts_directions_whatever_their_length(
    count: int, directions: int, expected: float
) -> None:
    rows = torch.eye(directions, 7)[torch.arange(count) % directions]
    rotation, _ = torch.linalg.qr(torch.randn(7, 7))
    lengths = 10.0 ** (2 * torch.rand(count, 1) - 1)
    assert effective_rank(rows @ rotation * lengths).item() == pytest.approx(expected, rel=1e-4)


def test_the_effective_rank_of_two_rows_by_hand() -> None:
    """At 60 degrees: singular values sqrt(1 + 1/2), sqrt(1 - 1/2)."""
    rows = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]], requires_grad=True)
    shares = torch.tensor([1.5**0.5, 0.5**0.5]) / (1.5**0.5 + 0.5**0.5)
    expected = torch.exp(-(shares * shares.log()).sum())
    torch.testing.assert_close(effective_rank(rows), expected)
    assert not effective_rank(rows).requires_grad


def test_rows_are_not_centered() -> None:
    """A common direction is the collapse: two opposite rows fill one, two shifted ones nearly."""
    assert effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item() == pytest.approx(1.0)
    shifted = torch.randn(20, 5) + 100
    assert effective_rank(shifted).item() < 1.2
