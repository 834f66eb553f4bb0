from __future__ import annotations

import pytest
import torch
from scipy import stats

from arco.mixing import draw_beta, interpolate


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("concentration", [0.2, 1.0, 2.0])
def test_shares_follow_the_beta_distribution(concentration):
    shares = draw_beta(20_000, concentration, generator()).double()
    distribution = stats.beta(concentration, concentration)
    for low, high in ((0, 0.05), (0.25, 0.75), (0.95, 1)):
        expected = distribution.cdf(high) - distribution.cdf(low)
        found = ((shares >= low) & (shares <= high)).double().mean().item()
        assert found == pytest.approx(expected, abs=0.015)


def test_small_concentrations_give_nearly_pure_images():
    shares = draw_beta(20_000, 0.2, generator())
    outer = ((shares < 0.05) | (shares > 0.95)).float().mean().item()
    middle = ((shares >= 0.25) & (shares <= 0.75)).float().mean().item()
    assert outer == pytest.approx(0.58, abs=0.015)
    assert middle == pytest.approx(0.17, abs=0.015)


def test_mixed_predictions_by_hand():
    first, second = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    mixed = interpolate(first, second, torch.tensor([0.3]))
    torch.testing.assert_close(mixed, torch.tensor([[0.69, 0.31]]))
    assert (mixed - 0.5).square().mean().item() == pytest.approx(0.0361, abs=1e-4)
    logits = interpolate(first.log(), second.log(), torch.tensor([0.3])).softmax(dim=1)
    torch.testing.assert_close(logits, torch.tensor([[0.7544, 0.2456]]), atol=1e-4, rtol=0)


def test_shares_of_nothing_and_everything_give_the_images_themselves():
    first, second = torch.rand(2, 1, 4, 5, 6), torch.rand(2, 1, 4, 5, 6)
    mixed = interpolate(first, second, torch.tensor([0.0, 1.0]))
    assert torch.equal(mixed[0], first[0])
    assert torch.equal(mixed[1], second[1])
