from __future__ import annotations

import math

import pytest
import torch

from arco.losses.co_training import (
    jensen_shannon,
    mutual_consistency,
    sharpen,
    soft_cross_entropy,
)

FRAME = torch.ones(1, 1, 1, dtype=torch.bool)


def pixel(*probs: float) -> torch.Tensor:
    return torch.tensor(probs).log().view(1, -1, 1, 1)


@pytest.mark.parametrize(("prob", "sharp"), [(0.5, 0.5), (0.6, 0.9830), (0.7, 0.9998), (0.9, 1.0)])
def test_sharpened_probabilities_of_two_classes(prob, sharp):
    assert sharpen(pixel(prob, 1 - prob), 0.1)[0, 0].item() == pytest.approx(sharp, abs=5e-5)


def test_sharpening_three_classes_stays_a_distribution():
    found = sharpen(pixel(0.4, 0.3, 0.3), 0.1).flatten()
    torch.testing.assert_close(found, torch.tensor([0.8988, 0.0506, 0.0506]), atol=5e-5, rtol=0)


def test_sharpening_does_not_underflow():
    small = sharpen(pixel(1 - 1e-6, 1e-6), 0.1)
    assert torch.isfinite(small).all()
    assert small.sum() == pytest.approx(1)


def test_two_decoders_by_hand():
    decoders = [pixel(0.6, 0.4).requires_grad_(), pixel(0.7, 0.3).requires_grad_()]
    loss = mutual_consistency(decoders, 0.1, FRAME)
    assert loss.item() == pytest.approx(0.1598 + 0.0801, abs=1e-4)


def test_targets_are_constants():
    # d/dp of (p - S)^2 at p = 0.6, 0.7; through S it would be -0.4045 and -0.5580.
    probs = [torch.tensor(0.6, requires_grad=True), torch.tensor(0.7, requires_grad=True)]
    decoders = [torch.stack([p, 1 - p]).log().view(1, 2, 1, 1) for p in probs]
    mutual_consistency(decoders, 0.1, FRAME).backward()
    assert probs[0].grad.item() == pytest.approx(-0.7996, abs=1e-4)
    assert probs[1].grad.item() == pytest.approx(-0.5659, abs=1e-4)


def test_equal_soft_decoders_still_pull_towards_certainty():
    soft = pixel(0.6, 0.4)
    assert mutual_consistency([soft, soft], 0.1, FRAME) > 0.1
    certain = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1)
    assert mutual_consistency([certain, certain], 0.1, FRAME) < 1e-6


def test_three_decoders_make_six_pairs():
    decoders = [pixel(0.6, 0.4), pixel(0.7, 0.3), pixel(0.8, 0.2)]
    pairs = [
        mutual_consistency([decoders[i], decoders[j]], 0.1, FRAME)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    torch.testing.assert_close(mutual_consistency(decoders, 0.1, FRAME), torch.stack(pairs).sum())


def test_jensen_shannon_divergence_by_hand():
    found = jensen_shannon(pixel(0.9, 0.1), pixel(0.6, 0.4), FRAME)
    assert found.item() == pytest.approx(0.0633, abs=1e-4)


def test_jensen_shannon_divergence_is_symmetric_and_bounded():
    torch.manual_seed(0)
    first, second = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    frame = torch.ones(2, 3, 5, dtype=torch.bool)
    torch.testing.assert_close(
        jensen_shannon(first, second, frame), jensen_shannon(second, first, frame)
    )
    assert jensen_shannon(first, first, frame).abs() < 1e-6
    opposite = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1)
    assert jensen_shannon(opposite, -opposite, FRAME).item() == pytest.approx(math.log(2))


def test_soft_cross_entropy_by_hand():
    found = soft_cross_entropy(pixel(0.7, 0.3), torch.tensor([0.9, 0.1]).view(1, 2, 1, 1), FRAME)
    assert found.item() == pytest.approx(0.4414, abs=1e-4)
