from __future__ import annotations

import pytest
import torch

from arco.losses.equivariance import equivariance_loss


def test_two_pixels_by_hand():
    warped = torch.tensor([[0.5, 1.0], [0.5, 0.0]]).view(1, 2, 1, 2)
    logits = torch.tensor([[0.9, 0.25], [0.1, 0.75]]).log().view(1, 2, 1, 2)
    first, second = 0.5 * (0.5 / 0.9 * 0.5 / 0.1), 1 / 0.25
    expected = [0.5 * torch.tensor(first / 0.5).log().item(), torch.tensor(second).log().item()]
    both = torch.ones(1, 1, 2, dtype=torch.bool)
    assert equivariance_loss(warped, logits, both).item() == pytest.approx(sum(expected) / 2)
    one = torch.tensor([[[False, True]]])
    assert equivariance_loss(warped, logits, one).item() == pytest.approx(expected[1])


def test_equal_predictions_cost_nothing_and_empty_masks_stay_finite():
    logits = torch.randn(3, 4, 5, 6, requires_grad=True)
    same = logits.detach().softmax(1)
    mask = torch.rand(3, 5, 6) > 0.5
    assert equivariance_loss(same, logits, mask).item() == pytest.approx(0, abs=1e-6)
    other = torch.randn(3, 4, 5, 6).softmax(1)
    loss = equivariance_loss(other, logits, torch.zeros_like(mask))
    assert loss.item() == 0
    mask[0] = False
    only = equivariance_loss(other, logits, mask)
    per_image = [
        equivariance_loss(other[i : i + 1], logits[i : i + 1], mask[i : i + 1]) for i in (1, 2)
    ]
    torch.testing.assert_close(only, sum(per_image) / 3)


def test_the_gradient_reaches_the_second_prediction_alone_inside_the_mask():
    warped = torch.randn(1, 3, 4, 4).softmax(1).requires_grad_()
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, 1] = True
    equivariance_loss(warped, logits, mask).backward()
    assert warped.grad is None
    assert logits.grad[:, :, 1].any() and not logits.grad[:, :, [0, 2, 3]].any()
