from __future__ import annotations

import pytest
import torch
from small_contrast import generator, small_contrast

from arco.contrast_variance.training_draws import training_traces


def weights_of(method):
    return [*method.student.parameters(), *method.contrast.head.parameters()]


@pytest.mark.parametrize("negatives", ["shared", "per_query"])
def test_variances_are_those_of_training_steps_with_other_draws(negatives):
    method, compared = small_contrast(negative_draws=negatives)
    found = training_traces(
        method.contrast.drawing_by("sag", generator(3)),
        compared,
        weights_of(method),
        draws=4,
        block=2,
    )
    by_hand = method.contrast.drawing_by("sag", generator(3))
    losses, gradients = [], []
    for _ in range(4):
        loss = by_hand(*compared).loss
        method.zero_grad()
        loss.backward(retain_graph=True)
        reached = [p.grad.flatten() for p in weights_of(method) if p.grad is not None]
        losses.append(loss.item())
        gradients.append(torch.cat(reached))
    for block in range(2):
        a, b = losses[2 * block : 2 * block + 2]
        assert found["loss"][block].item() == pytest.approx((a - b) ** 2 / 2, rel=1e-4)
        a, b = gradients[2 * block : 2 * block + 2]
        expected = (a - b).square().sum().item() / 2
        assert found["weights gradient"][block].item() == pytest.approx(expected, rel=1e-4)


def test_the_head_gradient_is_the_one_by_the_matrix_of_the_head():
    method, compared = small_contrast()
    found = training_traces(
        method.contrast.drawing_by("ns", generator(3)), compared, [compared.student.features[-1]],
        draws=2, block=2,
    )  # fmt: skip
    by_hand = method.contrast.drawing_by("ns", generator(3))
    first, second = (
        torch.autograd.grad(by_hand(*compared).loss, compared.student.joined, retain_graph=True)[0]
        for _ in range(2)
    )
    expected = (first - second).square().sum().item() / 2
    assert found["head gradient"][0].item() == pytest.approx(expected, rel=1e-4)


def test_measuring_leaves_the_method_as_it_was():
    method, compared = small_contrast(sampler="sg")
    before = method.contrast.generator.get_state()
    gradients = [None if p.grad is None else p.grad.clone() for p in weights_of(method)]
    other = method.contrast.drawing_by("ns", generator(3))
    training_traces(other, compared, weights_of(method), draws=2, block=2)
    assert torch.equal(method.contrast.generator.get_state(), before)
    assert (method.contrast.settings.sampler, other.settings.sampler) == ("sg", "ns")
    for p, gradient in zip(weights_of(method), gradients, strict=True):
        assert (p.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(p.grad, gradient)
    assert other.head is method.contrast.head
