from __future__ import annotations

import pytest
import torch

from arco.models.perturbations import feature_drop, feature_dropout, feature_noise


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("size", [(6, 8), (4, 6, 8)])
def test_noise_is_one_bounded_factor_for_all_images(size):
    factors = feature_noise(torch.ones(5, 3, *size), 0.3, generator())
    assert torch.equal(factors[0], factors[4])
    assert factors.min() >= 0.7
    assert factors.max() <= 1.3
    assert factors.std() > 0.1


def test_dropout_keeps_the_mean():
    dropped = feature_dropout(torch.ones(4, 8, 32, 32), 0.3, generator())
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_feature_drop_erases_the_most_active_positions():
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 3, 2, 2)
    dropped = feature_drop(maps, 0.8, 0.8, generator())
    expected = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert torch.equal(dropped[0], expected.expand(3, 2, 2))


def test_every_image_has_its_own_threshold():
    maps = torch.linspace(0, 1, 1000).view(1, 1, 10, 100).expand(8, 1, 10, 100)
    kept = (feature_drop(maps, 0.7, 0.9, generator()) > 0).flatten(1).sum(dim=1)
    assert kept.unique().numel() > 4
    assert kept.min() >= 690
    assert kept.max() <= 900


def test_the_generator_decides():
    maps = torch.rand(2, 3, 4, 5)
    for perturb, arguments in (
        (feature_noise, (0.3,)), (feature_dropout, (0.3,)), (feature_drop, (0.2, 0.9))
    ):  # fmt: skip
        first, second = (perturb(maps, *arguments, generator()) for _ in range(2))
        assert torch.equal(first, second)
