"""What every file of `arco.pretraining` promises, a new one included."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from small_frameworks import SMALL, build_network, make_batch, start
from torch import Tensor

from arco import registry
from arco.contracts import Progress
from arco.models.backbone import load_pretrained

NAMES = registry.names("pretraining")
WHOLE_NETWORK = {"gcl", "relational"}

# Who learns: parameters below these names receive gradients.
TRAINED = {
    "relational": {
        "student.network.encoder",
        "student.network.decoder",
        "student.network.classifier",
        "student.global_projector",
        "student.local_projector",
        "global_predictor",
        "local_predictor",
    },
    "gcl": {"network.encoder", "global_head"},
    "mocov2": {"student.encoder", "student.head"},
    "knn_moco": {"student.encoder", "student.head"},
    "simclr": {"student.encoder", "student.head"},
    "byol": {"student.encoder", "student.head", "predictor"},
    "isd": {"student.encoder", "student.head", "predictor"},
    "vicreg": {"student.encoder", "student.head"},
}


# Who waits: parts that a later stage trains.
WAITING = {"gcl": {"network.decoder", "network.classifier", "local_head", "region_head"}}

IN_BOTH = pytest.mark.parametrize(
    ("name", "axes"), [(name, axes) for name in NAMES for axes in (2, 3)]
)


def state_of(method: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


def assert_equal_states(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_every_framework_is_tested_here() -> None:
    assert set(SMALL) == set(TRAINED) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_settings_have_no_defaults_and_no_spare_keys(name: str) -> None:
    settings = registry.load("pretraining", name).Settings
    with pytest.raises(ValidationError):
        settings(**SMALL[name], unknown=1)
    for key in SMALL[name]:
        rest = {other: value for other, value in SMALL[name].items() if other != key}
        with pytest.raises(ValidationError, match=key):
            settings(**rest)


@IN_BOTH
def test_the_loss_is_a_finite_scalar_and_the_logs_are_detached(name: str, axes: int) -> None:
    training = start(name, axes=axes)
    for step in range(3):
        output = training.method.step(make_batch(name, step, axes=axes), Progress(step, 50, 10))
        assert output.loss.shape == () and output.loss.isfinite() and output.loss.requires_grad
        assert output.loss >= 0
        assert output.logs
        for value in output.logs.values():
            assert value.shape == () and value.isfinite() and not value.requires_grad


@IN_BOTH
def test_one_seed_gives_one_result(name: str, axes: int) -> None:
    states = []
    for seed in (0, 0, 1):
        training = start(name, seed=seed, dropout=0.2, axes=axes)
        training.take(3)
        states.append(state_of(training.method))
    assert_equal_states(states[0], states[1])
    convolutions = [key for key in states[0] if "encoder" in key and key.endswith("0.weight")]
    assert not torch.equal(states[0][convolutions[0]], states[2][convolutions[0]])


@IN_BOTH
def test_nothing_is_drawn_from_the_global_generator(name: str, axes: int) -> None:
    training = start(name, axes=axes)
    before = torch.get_rng_state()
    training.take(2)
    assert torch.equal(torch.get_rng_state(), before)


@IN_BOTH
def test_exported_weights_start_a_network_and_hold_nothing_else(name: str, axes: int) -> None:
    training = start(name, axes=axes)
    training.take(2)
    exported = training.method.exported()
    network = build_network(axes=axes)
    before = state_of(network)
    wanted = {key for key in before if name in WHOLE_NETWORK or key.startswith("encoder.")}
    assert set(exported) == wanted
    load_pretrained(network, exported)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, exported.get(key, before[key]))
    assert any("running_mean" in key and exported[key].abs().sum() > 0 for key in wanted)


@IN_BOTH
def test_gradients_flow_to_the_student_and_to_nobody_else(name: str, axes: int) -> None:
    training = start(name, axes=axes)
    training.take(2)  # so that banks hold something
    method = training.method
    method.zero_grad(set_to_none=True)
    torch.autograd.backward(method.step(make_batch(name, 2, axes=axes), Progress(2, 50, 10)).loss)
    reached = set()
    for key, parameter in method.named_parameters():
        owner = [prefix for prefix in TRAINED[name] if key.startswith(prefix + ".")]
        waits = any(key.startswith(prefix + ".") for prefix in WAITING.get(name, ()))
        assert parameter.requires_grad == (bool(owner) or waits)
        assert (parameter.grad is not None) == bool(owner), key
        if parameter.grad is not None and parameter.grad.abs().max() > 0:
            reached.update(owner)
    assert reached == TRAINED[name]
    assert not any(buffer.requires_grad for buffer in method.buffers())


@pytest.mark.parametrize(
    ("name", "view"), [(name, key) for name in NAMES for key in SMALL[name] if "view" in key]
)
def test_each_view_is_drawn_by_its_own_settings(name: str, view: str) -> None:
    plain, solarized = start(name), start(name, **{view: {"solarize": 1.0}})
    assert plain.take(2)[1] != solarized.take(2)[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_optimizer_lowers_the_loss_of_a_batch(name: str) -> None:
    """With teacher, bank and views held still: what moves them moves the loss as well."""
    training = start(name)
    training.take(3)
    method, views = training.method, training.randomness.generator("views")
    trained = {key for key, parameter in method.named_parameters() if parameter.requires_grad}
    still = {key: value for key, value in state_of(method).items() if key not in trained}
    seen = views.get_state()
    losses = []
    for _ in range(10):
        method.load_state_dict(still, strict=False)
        views.set_state(seen)
        loss = method.step(make_batch(name, 3), Progress(3, 50, 10)).loss
        training.optimizer.zero_grad()
        torch.autograd.backward(loss)
        training.optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", sorted(set(NAMES) - WHOLE_NETWORK))
def test_features_do_not_collapse(name: str) -> None:
    training = start(name)
    training.take(15)
    output = training.method.step(make_batch(name, 99), Progress(15, 50, 10))
    assert output.logs["feature_std"] > 1e-2


@IN_BOTH
def test_a_restored_state_continues_bit_by_bit(name: str, axes: int) -> None:
    training = start(name, dropout=0.2, axes=axes)
    training.take(3)
    saved: dict[str, Any] = copy.deepcopy(
        {
            "method": training.method.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "generators": {
                key: generator.get_state()
                for key, generator in training.randomness.generators.items()
            },
            "torch": torch.get_rng_state(),
        }
    )
    training.take(3)

    restored = start(name, seed=5, dropout=0.2, axes=axes)
    restored.method.load_state_dict(saved["method"])
    restored.optimizer.load_state_dict(saved["optimizer"])
    for key, state in saved["generators"].items():
        restored.randomness.generator(key).set_state(state)
    torch.set_rng_state(saved["torch"])
    restored.taken = 3
    restored.take(3)
    assert_equal_states(state_of(training.method), state_of(restored.method))
