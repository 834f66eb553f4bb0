from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load
from small_runs import history, make_job, run, run_killed

from arco.averaging import WeightAverage
from arco.training import Run

AVERAGED = {"average_decay": 0.9}


def averages(decay: float, values: list[float]) -> list[float]:
    average = WeightAverage(decay)
    found = []
    for step, value in enumerate(values):
        average.update({"w": torch.tensor([value])}, step)
        found.append(average.weights["w"].item())
    return found


def test_the_warm_up_by_hand():
    # Decays after steps 1, 2, 3: 2/11, 3/12, 4/13.
    # (2 * 1 + 9 * 12) / 11 = 10; (10 + 3 * 2) / 4 = 4; (4 * 4 + 9 * 17) / 13 = 13.
    assert averages(0.9, [1.0, 12.0, 2.0, 17.0]) == pytest.approx([1.0, 10.0, 4.0, 13.0])


def test_the_decay_of_the_long_run_by_hand():
    # From step 1 on (1 + t) / (10 + t) lies above 0.1.
    assert averages(0.1, [1.0, 11.0, 20.0]) == pytest.approx([1.0, 10.0, 19.0])


def test_counts_are_those_of_the_last_step_and_the_network_s_tensors_stay_its_own():
    average, weight, count = WeightAverage(0.9), torch.tensor([1.0]), torch.tensor(1)
    for step in range(2):
        average.update({"w": weight, "count": count}, step)
        weight += 11
        count += 1
    assert average.weights["count"] == 2
    assert average.weights["w"].item() == pytest.approx((2 * 1 + 9 * 12) / 11)
    assert (weight.item(), count.item()) == (23.0, 3)


@pytest.mark.parametrize(("method", "axes"), [("supervised", 2), ("mt", 3)])
def test_what_is_exported_is_the_average_of_the_weights_and_buffers_of_all_steps(
    tiny, tmp_path, method, axes
):
    job = make_job(tiny, tmp_path / "run", axes=axes, method=method, training=AVERAGED)
    training = Run(job, torch.device("cpu"))
    expected: dict[str, np.ndarray] = {}
    for step in range(training.total):
        training._take_step()
        decay = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        for name, tensor in training.method.exported().items():
            new = tensor.numpy().astype(float)
            expected[name] = decay * expected.get(name, 0.0) + (1 - decay) * new
    exported = training.exported()
    assert set(exported) == set(training.method.exported())
    for name, tensor in exported.items():
        if name.endswith("num_batches_tracked"):
            assert tensor == training.method.exported()[name]
        else:
            np.testing.assert_allclose(tensor, expected[name], rtol=1e-4, atol=1e-6)
    last = training.method.exported()
    for kind in ("weight", "bias", "running_mean", "running_var"):
        names = [name for name in last if name.endswith(kind)]
        assert any(not torch.allclose(exported[name], last[name]) for name in names), kind


def test_the_average_is_written_and_training_itself_keeps_its_bits(tiny, tmp_path):
    plain = make_job(tiny, tmp_path / "plain")
    averaged = make_job(tiny, tmp_path / "averaged", training=AVERAGED)
    last, average = run(plain), run(averaged)
    assert history(averaged) == history(plain)
    one, other = (load(results["weights.safetensors"]) for results in (last, average))
    assert set(one) == set(other)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_curve_scores_the_average_where_that_is_exported(tiny, tmp_path, monkeypatch):
    job = make_job(tiny, tmp_path / "run", training={**AVERAGED, "validate_every": 2})
    training = Run(job, torch.device("cpu"))
    scored = []
    monkeypatch.setattr(
        training.validation, "mean_dice", lambda weights: float(scored.append(weights) or 0)
    )
    training._take_step()
    training._take_step()
    assert scored == [training.average.weights]


def test_an_averaged_run_ends_with_the_same_bytes_after_a_kill(tiny, tmp_path, monkeypatch):
    undisturbed = run(make_job(tiny, tmp_path / "undisturbed", training=AVERAGED))
    job = make_job(tiny, tmp_path / "killed", training=AVERAGED)
    run_killed(job, monkeypatch, saved=3, killed=5)
    assert run(job) == undisturbed
