from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from lightly.utils.lars import LARS
from torch import nn

from arco.errors import ArcoError
from arco.optimizers import build_optimizer, without_compiler
from arco.schema.training import Optimizer


def settings(name: str, **changes: Any) -> Optimizer:
    constants = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": False}
    return Optimizer(name=name, **(constants | changes))  # type: ignore[arg-type]


def layer() -> nn.Linear:
    """Weight (3, 4) of norm 5, bias 2."""
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[3.0, 4.0]]))
        linear.bias.fill_(2.0)
    return linear


def step(optimizer: torch.optim.Optimizer, linear: nn.Linear) -> None:
    """One step on the gradients (0, 2) and 1."""
    linear.weight.grad = torch.tensor([[0.0, 2.0]])
    linear.bias.grad = torch.tensor([1.0])
    optimizer.step()


def test_sgd_decays_every_parameter_and_keeps_momentum() -> None:
    linear = layer()
    optimizer = build_optimizer(settings("sgd"), linear.named_parameters())
    step(optimizer, linear)
    # d = g + .01 w = (.03, 2.04) and 1.02; w <- w - .1 d
    assert linear.weight.tolist()[0] == pytest.approx([2.997, 3.796])
    assert linear.bias.item() == pytest.approx(1.898)
    step(optimizer, linear)
    # v = .9 d + (g + .01 w) = .9 * 1.02 + 1.01898
    assert linear.bias.item() == pytest.approx(1.898 - 0.1 * (0.918 + 1.01898))


def test_nesterov_looks_ahead() -> None:
    linear = layer()
    optimizer = build_optimizer(settings("sgd", nesterov=True), linear.named_parameters())
    step(optimizer, linear)
    assert linear.bias.item() == pytest.approx(2 - 0.1 * 1.9 * 1.02)


def test_lars_scales_weights_by_the_trust_ratio_and_leaves_biases_plain() -> None:
    linear = layer()
    optimizer = build_optimizer(settings("lars"), linear.named_parameters())
    step(optimizer, linear)
    # Trust ratio .001 * 5 / (2 + .01 * 5) on (.03, 2.04); the bias descends its bare gradient.
    ratio = 0.005 / 2.05
    assert linear.weight.tolist()[0] == pytest.approx(
        [3 - 0.1 * ratio * 0.03, 4 - 0.1 * ratio * 2.04], abs=1e-6
    )
    assert linear.bias.item() == pytest.approx(1.9)
    step(optimizer, linear)
    assert linear.bias.item() == pytest.approx(1.9 - 0.1 * 1.9)


def test_lars_treats_norm_parameters_like_biases() -> None:
    norm = nn.BatchNorm1d(3)
    optimizer = build_optimizer(settings("lars"), norm.named_parameters())
    for parameter in norm.parameters():
        parameter.grad = torch.ones(3)
    optimizer.step()
    assert norm.weight.tolist() == pytest.approx([0.9] * 3)


def test_lars_does_not_depend_on_the_length_of_the_gradient() -> None:
    small, large = layer(), layer()
    for linear, scale in ((small, 1.0), (large, 1e4)):
        optimizer = build_optimizer(
            settings("lars", weight_decay=1e-12), [("weight", linear.weight)]
        )
        linear.weight.grad = scale * torch.tensor([[0.0, 2.0]])
        optimizer.step()
    torch.testing.assert_close(small.weight, large.weight)


def test_adam_takes_steps_of_the_learning_rate() -> None:
    linear = layer()
    optimizer = build_optimizer(settings("adam", weight_decay=0.0), linear.named_parameters())
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    step(optimizer, linear)
    assert linear.bias.item() == pytest.approx(1.9)


@pytest.mark.parametrize("name", ["sgd", "lars", "adam"])
def test_parameters_without_gradient_are_left_out(name: str) -> None:
    linear = layer()
    linear.weight.requires_grad_(False)
    optimizer = build_optimizer(settings(name), linear.named_parameters())
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(held) == 1 and held[0] is linear.bias


@pytest.mark.parametrize("name", ["sgd", "lars", "adam"])
def test_a_saved_state_continues_alike(name: str) -> None:
    linears = layer(), layer()
    optimizers = [build_optimizer(settings(name), linear.named_parameters()) for linear in linears]
    step(optimizers[0], linears[0])
    linears[1].load_state_dict(linears[0].state_dict())
    # Copied, as a file would: loading alone shares the momentum buffers.
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for optimizer, linear in zip(optimizers, linears, strict=True):
        step(optimizer, linear)
    assert torch.equal(linears[0].weight, linears[1].weight)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, LARS])
def test_without_the_compiler_an_optimizer_does_the_same(optimizer: Any) -> None:
    linears = layer(), layer()
    for linear, kind in zip(linears, (optimizer, without_compiler(optimizer)), strict=True):
        taken = kind(linear.parameters(), lr=0.1, weight_decay=0.01)
        step(taken, linear)
        step(taken, linear)
        taken.zero_grad()
    assert torch.equal(linears[0].weight, linears[1].weight)
    assert linears[1].weight.grad is None


def test_steps_do_not_load_the_compiler() -> None:
    code = """
import sys, torch
from arco.optimizers import without_compiler
for kind in (torch.optim.SGD, torch.optim.Adam):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = without_compiler(kind)([weight], lr=0.1)
    weight.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "changes", "key"),
    [
        ("sgd", {"nesterov": True, "momentum": 0.0}, "momentum"),
        ("lars", {"weight_decay": 0.0}, "weight_decay"),
    ],
)
def test_impossible_constants_are_explained(name: str, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ArcoError, match=f"training.optimizer.*{key}"):
        build_optimizer(settings(name, **changes), layer().named_parameters())
