"""What history.csv tells of a method with a pixel contrast, in a run of the real loop."""

from __future__ import annotations

import math

import pytest
import torch
from small_runs import history, make_job, run

from arco.training import Run

FACTS = [
    "contrast_over_chance", "class_cosine", "sure_weak", "sure_weak_foreground", "sure_strong",
    "sure_strong_foreground",
]  # fmt: skip
TERMS = {
    ("arco", 2): ["contrast", "unsupervised", "neighbor", "equivariance"],
    ("arco", 3): ["contrast", "unsupervised", "neighbor"],
    ("action", 2): ["contrast", "unsupervised"],
    ("action", 3): ["contrast", "unsupervised"],
}
BOTH = pytest.mark.parametrize(("method", "axes"), TERMS)
LOGGED = {"iterations": 4, "gradients_every": 2}


@BOTH
def test_every_contrast_tells_how_it_goes(tiny, tmp_path, method, axes):
    job = make_job(tiny, tmp_path / "run", method=method, axes=axes, training=LOGGED)
    run(job)
    rows, terms = history(job), TERMS[method, axes]
    gradients = [f"gradient_{term}" for term in terms]
    expected = {"step", "epoch", "lr", "loss", "supervised", *terms, *FACTS, *gradients}
    assert set(rows[0]) == expected
    for step, row in enumerate(rows):
        due = step % 2 == 0
        assert [name for name in gradients if row[name] == ""] == ([] if due else gradients)
        numbers = {name: float(text) for name, text in row.items() if text != ""}
        assert all(math.isfinite(number) for number in numbers.values())
        settings = job.settings["method"]
        if "contrast_over_chance" in numbers:
            chance = math.log(1 + settings["negatives"])
            assert numbers["contrast_over_chance"] == pytest.approx(numbers["contrast"] / chance)
        assert -1 <= numbers["class_cosine"] <= 1
        for region in ("", "_foreground"):
            strong, weak = (numbers[f"sure_{name}{region}"] for name in ("strong", "weak"))
            assert 0 <= strong <= weak <= 1
    assert any(row["contrast_over_chance"] != "" for row in rows)
    assert any(float(row["gradient_contrast"] or 0) > 0 for row in rows)


@BOTH
def test_training_keeps_its_bits_whether_gradients_are_compared_or_not(
    tiny, tmp_path, method, axes
):
    with_gradients, without = (
        make_job(
            tiny,
            tmp_path / str(every),
            method=method,
            axes=axes,
            training={"iterations": 3, "gradients_every": every},
        )
        for every in (1, 0)
    )
    one, other = run(with_gradients), run(without)
    assert one["weights.safetensors"] == other["weights.safetensors"]
    rows = [{k: v for k, v in r.items() if "gradient" not in k} for r in history(with_gradients)]
    assert rows == history(without)


@pytest.mark.parametrize("method", ["arco", "action"])
def test_shares_are_those_of_the_weighted_terms_in_the_network(tiny, tmp_path, method):
    """By autograd, term by term, at the weights the step began with."""
    job = make_job(tiny, tmp_path / "run", method=method, training={"gradients_every": 1})
    training = Run(job, torch.device("cpu"))
    steps, take = [], training.method.step

    def remembered(*arguments):
        steps.append(take(*arguments))
        lengths = {}
        network = [
            weight
            for name, weight in training.method.named_parameters()
            if name.startswith("student.")
        ]
        for name, term in steps[-1].terms.items():
            parts = torch.autograd.grad(term, network, retain_graph=True, materialize_grads=True)
            lengths[name] = torch.cat([part.flatten() for part in parts]).norm().item()
        expected.append(
            {
                f"gradient_{name}": length / lengths["supervised"]
                for name, length in lengths.items()
                if name != "supervised"
            }
        )
        return steps[-1]

    expected: list[dict[str, float]] = []
    training.method.step = remembered
    for _ in range(3):
        training._take_step()
    for output in steps:
        torch.testing.assert_close(sum(output.terms.values()), output.loss)
    assert len(training.history.rows) == 3
    for row, shares in zip(training.history.rows, expected, strict=True):
        found = {name: value for name, value in row.items() if name.startswith("gradient_")}
        assert found == pytest.approx(shares, rel=1e-4)
