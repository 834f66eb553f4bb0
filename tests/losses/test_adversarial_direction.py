from __future__ import annotations

import pytest
import torch
from torch import nn

from arco.losses.adversarial_direction import dice_distance, worst_direction


def two_pixels(*probs: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(probs).T.view(1, 2, 1, 2)


FRAME = torch.ones(1, 1, 2, dtype=torch.bool)


def test_the_distance_of_known_predictions():
    first, second = two_pixels((0.8, 0.2), (0.6, 0.4)), two_pixels((0.6, 0.4), (0.5, 0.5))
    assert dice_distance(first, second, FRAME).item() == pytest.approx(0.0565, abs=1e-4)
    assert dice_distance(first, first, FRAME).item() == pytest.approx(0, abs=1e-6)


def test_an_empty_frame_gives_no_distance():
    first, second = two_pixels((0.8, 0.2), (0.6, 0.4)), two_pixels((0.6, 0.4), (0.5, 0.5))
    assert dice_distance(first, second, torch.zeros_like(FRAME)) == 0


@pytest.mark.parametrize("size", [(6, 8), (4, 6, 8)])
def test_the_direction_has_the_asked_length_for_every_image(size):
    torch.manual_seed(0)
    layer = nn.Linear(size[-1], 1)
    images = torch.rand(3, 1, *size)
    change = worst_direction(
        lambda changed: layer(changed).square().mean(),
        images,
        probe=1.0,
        radius=6.0,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(change.flatten(1).norm(dim=1), torch.full((3,), 6.0))
    assert not change.requires_grad
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_the_direction_points_uphill():
    weights = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    change = worst_direction(
        lambda changed: (changed * weights).sum(),
        torch.zeros(1, 1, 1, 2),
        probe=1.0,
        radius=10.0,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(change.flatten(), torch.tensor([6.0, 8.0]))
