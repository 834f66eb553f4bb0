from __future__ import annotations

import math

import pytest
import torch

from arco.contracts import IGNORE
from arco.losses.consistency import (
    entropy,
    masked_mean,
    mean_squared,
    pseudo_labels,
    relative_entropy,
)


def pixel(*probs: float) -> torch.Tensor:
    """Logits [1, C, 1, 1] of one pixel's probabilities."""
    return torch.tensor(probs).log().view(1, -1, 1, 1)


EVERYWHERE = torch.ones(1, 1, 1, dtype=torch.bool)


def test_entropy_of_known_distributions():
    assert entropy(pixel(0.7, 0.2, 0.1)).item() == pytest.approx(0.8018, abs=1e-4)
    assert relative_entropy(pixel(0.7, 0.2, 0.1)).item() == pytest.approx(0.7298, abs=1e-4)
    assert relative_entropy(torch.zeros(1, 5, 1, 1)).item() == pytest.approx(1)
    certain = torch.tensor([50.0, -50.0, 0.0]).view(1, 3, 1, 1)
    assert relative_entropy(certain).item() == pytest.approx(0, abs=1e-5)


def test_descending_the_entropy_sharpens_the_likeliest_class():
    logits = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    entropy(logits).sum().backward()
    assert entropy(logits).item() == pytest.approx(0.5822, abs=1e-4)
    torch.testing.assert_close(
        logits.grad.flatten(), torch.tensor([-0.1966, 0.1966]), atol=1e-4, rtol=0
    )


def test_entropy_has_no_slope_at_the_uniform_distribution():
    logits = torch.zeros(1, 4, 1, 1, requires_grad=True)
    entropy(logits).sum().backward()
    assert logits.grad.abs().max() < 1e-6


def test_mean_square_of_known_predictions():
    first, second = (torch.tensor(p).view(1, 2, 1, 1) for p in ((0.7, 0.3), (0.9, 0.1)))
    assert mean_squared(first, second, EVERYWHERE).item() == pytest.approx(0.04)


def test_pixels_outside_the_frame_do_not_count():
    torch.manual_seed(0)
    first, second = torch.rand(2, 3, 4, 6), torch.rand(2, 3, 4, 6)
    frame = torch.rand(2, 4, 6) < 0.5
    inside = frame.unsqueeze(1).expand_as(first)
    expected = (first - second)[inside].square().mean()
    torch.testing.assert_close(mean_squared(first, second, frame), expected)


def test_an_empty_mask_gives_zero_with_a_graph():
    values = torch.rand(2, 3, 3, requires_grad=True)
    mean = masked_mean(values, torch.zeros(2, 3, 3, dtype=torch.bool))
    mean.backward()
    assert mean == 0
    assert not values.grad.any()


def test_pseudo_labels_are_the_likeliest_classes_inside_the_frame():
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    frame = torch.tensor([[[True, False]]])
    assert pseudo_labels(logits, frame, IGNORE).tolist() == [[[0, IGNORE]]]
    assert not pseudo_labels(logits.requires_grad_(), frame, IGNORE).requires_grad


def test_entropy_never_exceeds_the_logarithm_of_the_number_of_classes():
    torch.manual_seed(0)
    assert entropy(torch.randn(4, 7, 5, 3) * 5).max() <= math.log(7)
