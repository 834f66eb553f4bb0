from __future__ import annotations

import pytest
import torch

from arco.losses.multi_scale import pyramid_consistency


def logits_of(*pixels: tuple[float, float]) -> torch.Tensor:
    """Logits [1, 2, 1, n] of pixels' probabilities."""
    return torch.tensor(pixels).log().T.view(1, 2, 1, -1)


FRAME = torch.ones(1, 1, 2, dtype=torch.bool)


def test_two_scales_and_two_pixels_by_hand():
    first, second = logits_of((0.8, 0.2), (0.9, 0.1)), logits_of((0.6, 0.4), (0.9, 0.1))
    loss = pyramid_consistency([first, second], FRAME)
    assert loss.item() == pytest.approx(0.0174, abs=5e-5)


def test_equal_scales_agree():
    scale = logits_of((0.8, 0.2), (0.3, 0.7))
    assert pyramid_consistency([scale, scale, scale], FRAME).abs() < 1e-6
    assert pyramid_consistency([scale], FRAME).abs() < 1e-6


def test_only_pixels_inside_the_frame_count():
    first, second = logits_of((0.8, 0.2), (0.9, 0.1)), logits_of((0.6, 0.4), (0.1, 0.9))
    inside = torch.tensor([[[True, False]]])
    alone = pyramid_consistency(
        [first[..., :1], second[..., :1]], torch.ones(1, 1, 1, dtype=torch.bool)
    )
    torch.testing.assert_close(pyramid_consistency([first, second], inside), alone)


def test_saturated_scales_give_a_finite_loss():
    first = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    assert torch.isfinite(pyramid_consistency([first, -first], FRAME))
