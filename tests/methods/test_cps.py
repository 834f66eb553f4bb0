from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import IGNORE, Progress
from arco.losses.consistency import pseudo_labels
from arco.losses.segmentation import cross_entropy

FRAME = torch.ones(1, 1, 1, dtype=torch.bool)


def pixel(*probs: float) -> torch.Tensor:
    return torch.tensor(probs).log().view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("first", "second", "loss"),
    [((0.7, 0.3), (0.4, 0.6), 2.1203), ((0.9, 0.1), (0.8, 0.2), 0.3285)],
)
def test_two_networks_by_hand(first, second, loss):
    one, other = pixel(*first), pixel(*second)
    crossed = cross_entropy(one, pseudo_labels(other, FRAME, IGNORE)) + cross_entropy(
        other, pseudo_labels(one, FRAME, IGNORE)
    )
    assert crossed.item() == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("name", ["cps", "dct"])
def test_the_networks_start_from_different_weights(name):
    method = start(name).method
    pairs = zip(method.student.parameters(), method.peer.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_trading_the_networks_leaves_the_loss():
    method = start("cps").method
    progress = Progress(25, 50, 10)
    loss = method.step(make_batch(0), progress).loss
    method.student, method.peer = method.peer, method.student
    torch.testing.assert_close(method.step(make_batch(0), progress).loss, loss)


def test_labeled_images_carry_the_cross_supervision_unless_told_otherwise():
    losses = [
        start("cps", images=images).method.step(make_batch(0), Progress(25, 50, 10)).logs["crossed"]
        for images in ("all", "unlabeled")
    ]
    assert losses[0] != losses[1]


def test_equal_networks_get_equal_gradients():
    method = start("cps").method
    method.peer.load_state_dict(method.student.state_dict())
    method.step(make_batch(0), Progress(25, 50, 10)).loss.backward()
    for one, other in zip(method.student.parameters(), method.peer.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_no_gradient_passes_through_a_pseudo_label():
    one, other = pixel(0.7, 0.3).requires_grad_(), pixel(0.4, 0.6).requires_grad_()
    cross_entropy(other, pseudo_labels(one, FRAME, IGNORE)).backward()
    assert one.grad is None
    assert other.grad.any()
