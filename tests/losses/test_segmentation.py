from __future__ import annotations

import math

import monai.losses
import pytest
import torch
from torch.nn import functional

from arco.contracts import IGNORE
from arco.losses.segmentation import (
    class_cross_entropy,
    cross_entropy,
    dice_loss,
    supervised_loss,
)


def logits_of(probs: list[list[float]]) -> torch.Tensor:
    """Logits [1, C, pixels, 1] of probabilities [pixels][C]."""
    return torch.tensor(probs).log().T[None, :, :, None]


def random_case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 6, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 5, 6, 3), generator=generator)
    return logits.requires_grad_(), labels


def test_two_pixels_by_hand():
    logits, labels = logits_of([[0.8, 0.2], [0.1, 0.9]]), torch.tensor([[[0], [1]]])
    assert cross_entropy(logits, labels).item() == pytest.approx(0.1643, abs=5e-5)
    foreground, background = 1 - 1.8 / (0.04 + 0.81 + 1), 1 - 1.6 / (0.64 + 0.01 + 1)
    assert foreground == pytest.approx(0.0270, abs=5e-5)
    assert background == pytest.approx(0.0303, abs=5e-5)
    assert dice_loss(logits, labels).item() == pytest.approx(0.0287, abs=5e-5)
    assert supervised_loss(logits, labels).item() == pytest.approx(0.0965, abs=5e-5)


def test_weights_of_images_scale_their_pixels_but_not_the_count():
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 3], [1, 1, 0]]).T[None, :, :, None]
    labels = torch.tensor([[[0], [1], [2], [IGNORE]]])
    singles = [cross_entropy(logits[:, :, [k]], labels[:, [k]]).item() for k in range(3)]
    assert singles == pytest.approx([0.2395, 0.5514, 0.0949], abs=5e-5)
    loss = cross_entropy(logits, labels, torch.tensor([2 / 3]))
    assert loss.item() == pytest.approx(0.1969, abs=5e-5)


def test_classes_count_alike_each_by_its_sure_share():
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 3], [1, 1, 0]]).T
    logits, labels = logits[None, :, :, None], torch.tensor([[[0], [1], [0], [1], [IGNORE]]])
    sure = torch.tensor([[[True], [True], [False], [True], [True]]])
    costs = [cross_entropy(logits[:, :, [k]], labels[:, [k]]).item() for k in range(4)]
    expected = [0.5 * (costs[0] + costs[2]) / 2, 1.0 * (costs[1] + costs[3]) / 2]
    found = class_cross_entropy(logits, labels, sure)
    assert found.item() == pytest.approx(sum(expected) / 2)


def test_a_class_s_weight_is_no_other_s():
    """Nor does it grow with its pixels: twice the background changes nothing."""
    logits, labels = random_case()
    labels = labels.where(labels != 3, IGNORE)
    sure = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    found = class_cross_entropy(logits, labels, sure)
    per_class = []
    for c in range(3):
        of_class = labels.where(labels == c, IGNORE)
        share = sure[labels == c].double().mean()
        per_class.append(share * cross_entropy(logits, of_class))
    torch.testing.assert_close(found, sum(per_class) / 3)
    background = labels.where(labels == 0, IGNORE)
    twice = [torch.cat(pair) for pair in ((logits, logits), (labels, background), (sure, sure))]
    torch.testing.assert_close(class_cross_entropy(*twice), found)
    unsure = class_cross_entropy(logits, labels, sure & (labels != 1))
    (gradient,) = torch.autograd.grad(unsure, logits)
    moved = gradient.ne(0).any(dim=1)
    assert torch.equal(moved, (labels == 0) | (labels == 2))


def test_classes_without_any_label_cost_nothing_and_keep_a_graph():
    logits, labels = random_case()
    nothing = torch.full_like(labels, IGNORE)
    loss = class_cross_entropy(logits, nothing, torch.ones_like(labels, dtype=torch.bool))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad.eq(0).all()


def test_an_image_of_weight_zero_gets_no_gradient():
    logits, labels = random_case()
    cross_entropy(logits, labels, torch.tensor([0.0, 0.5])).backward()
    assert logits.grad[0].eq(0).all()
    assert logits.grad[1].ne(0).all()


def test_dice_equals_monai_s_batch_dice_with_squared_denominator():
    logits, labels = random_case()
    reference = monai.losses.DiceLoss(
        include_background=True, to_onehot_y=True, softmax=True, squared_pred=True,
        batch=True, smooth_nr=1e-5, smooth_dr=1e-5,
    )  # fmt: skip
    expected = reference(logits, labels[:, None])
    torch.testing.assert_close(dice_loss(logits, labels), expected, rtol=1e-7, atol=0)


def test_cross_entropy_equals_torch_s_where_some_pixels_are_ignored():
    logits, labels = random_case()
    labels[0, :2] = IGNORE
    expected = functional.cross_entropy(logits, labels, ignore_index=IGNORE)
    torch.testing.assert_close(cross_entropy(logits, labels), expected)


def test_ignored_pixels_change_neither_loss_nor_gradient():
    logits, labels = random_case()
    labels[:, :, 3:] = IGNORE
    whole = supervised_loss(logits, labels)
    cropped = supervised_loss(logits[:, :, :, :3], labels[:, :, :3])
    torch.testing.assert_close(whole, cropped)
    (gradient,) = torch.autograd.grad(whole, logits)
    assert gradient[:, :, :, 3:].eq(0).all()
    assert gradient[:, :, :, :3].ne(0).all()


def test_without_any_labeled_pixel_the_loss_is_zero_and_still_has_a_graph():
    logits, labels = random_case()
    loss = supervised_loss(logits, torch.full_like(labels, IGNORE))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad.eq(0).all()


@pytest.mark.parametrize(("probability", "cost"), [(1e-3, 0.9998), (1e-4, 0.9850)])
def test_an_absent_class_costs_nearly_one(probability, cost):
    probs = torch.tensor([1 - probability, probability]).view(1, 2, 1, 1).expand(1, 2, 256, 256)
    loss = dice_loss(probs.log(), torch.zeros(1, 256, 256, dtype=torch.int64))
    assert 2 * loss.item() == pytest.approx(cost, abs=2e-4)


def test_saturated_logits_stay_finite():
    labels = torch.tensor([[[0, 1], [1, 0]]])
    logits = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1).repeat(1, 1, 2, 2).requires_grad_()
    loss = supervised_loss(logits, labels)
    loss.backward()
    assert math.isfinite(loss.item())
    assert cross_entropy(logits, labels).item() == pytest.approx(50)
    assert logits.grad.isfinite().all()


def test_the_order_of_images_does_not_matter():
    logits, labels = random_case()
    flipped = supervised_loss(logits.flip(0), labels.flip(0))
    torch.testing.assert_close(supervised_loss(logits, labels), flipped)
