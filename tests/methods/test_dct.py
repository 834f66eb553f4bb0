from __future__ import annotations

import copy

import pytest
import torch
from small_methods import SQUARE_SIZES, make_batch, start
from torch import nn

from arco.contracts import Progress
from arco.methods.dct import adversarial

LATE = Progress(40, 50, 10)


class Slope(nn.Module):
    """Logits (2 x, 0) of each pixel x."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([2 * images, torch.zeros_like(images)], dim=1)


def test_an_adversarial_pixel_by_hand():
    images = torch.full((1, 1, 1, 1), 0.5)
    moved = adversarial(Slope(), images, torch.zeros(1, 1, 1, dtype=torch.int64), 0.02)
    assert moved.item() == pytest.approx(0.48)


def test_adversarial_examples_stay_near_and_in_range_and_leave_the_network_alone():
    training = start("dct", dropout=0.3)
    network = training.method.student
    before = copy.deepcopy(network.state_dict())
    batch = make_batch(0)
    labels = torch.zeros(4, 16, 32, dtype=torch.int64)
    moved = adversarial(network, batch.images, labels, 0.03)
    assert (moved - batch.images).abs().max() <= 0.03 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(module.training for module in network.modules())


def test_trading_the_networks_leaves_the_loss():
    method = start("dct").method
    loss = method.step(make_batch(0), LATE).loss
    method.student, method.peer = method.peer, method.student
    torch.testing.assert_close(method.step(make_batch(0), LATE).loss, loss)


@pytest.mark.parametrize("axes", [2, 3])
def test_batch_statistics_are_those_of_clean_images_alone(axes):
    training = start("dct", axes=axes)
    method, batch = training.method, make_batch(0, axes=axes)
    networks = {"student": method.student, "peer": method.peer}
    clean = copy.deepcopy(networks)
    assert method.step(batch, LATE).logs["resistance"] > 0
    for name, network in networks.items():
        clean[name](batch.images)
        expected = dict(clean[name].named_buffers())
        for key, value in network.named_buffers():
            if "running" in key:
                torch.testing.assert_close(value, expected[key], msg=f"{name}.{key}")


def test_resistance_waits_for_its_start():
    method = start("dct", adversarial_start=0.5).method
    assert method.step(make_batch(0), Progress(10, 50, 10)).logs["resistance"] == 0
    assert method.step(make_batch(0), LATE).logs["resistance"] > 0


@pytest.mark.parametrize("axes", [2, 3])
def test_a_turn_of_nothing_is_consistent(axes, monkeypatch):
    method = start("dct_rot", axes=axes).method.eval()
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(0))
    batch = make_batch(0, size=SQUARE_SIZES[axes])
    output = method.step(batch, LATE)
    assert output.logs["consistency"].item() == pytest.approx(0, abs=1e-10)
