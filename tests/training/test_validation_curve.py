from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers.utils import sliding_window_inference
from safetensors.torch import load_file
from small_prepared import CLASSES
from small_runs import CASES, SLICES, history, make_job, run, run_killed

from arco import files
from arco.data.loading import Prepared
from arco.models.build import build_network
from arco.validation import ValidationCurve

CURVE = {"validate_every": 2}


def predictions_one_by_one(job, image: np.ndarray) -> np.ndarray:
    """What the written weights say of a prepared image, by other code than the curve's."""
    network = build_network(job.settings, 1)
    network.load_state_dict(load_file(job.out / "weights.safetensors"))
    network.eval()
    pixels = torch.from_numpy(np.array(image))
    with torch.no_grad():
        if len(job.settings["dataset"]["image_size"]) == 2:
            return np.stack([network(s[None])[0].argmax(0).numpy() for s in pixels.unbind(1)])
        probs = sliding_window_inference(
            pixels[None],
            roi_size=SLICES[3],
            sw_batch_size=1,
            predictor=lambda patches: network(patches).softmax(dim=1),
            overlap=job.settings["window"]["overlap"],
        )
        return probs[0].argmax(0).numpy()


@pytest.mark.parametrize("axes", [2, 3])
def test_the_last_value_is_the_dice_of_the_written_weights_on_the_validation_cases(
    tiny, tmp_path, axes
):
    job = make_job(tiny, tmp_path / "run", axes=axes, training={"iterations": 24, **CURVE})
    run(job)
    per_class = []
    for index in range(1, len(CLASSES)):
        of_cases = []
        for case in CASES["val"]:
            found = predictions_one_by_one(job, files.read_array(tiny / f"images/{case}.npy"))
            truth = files.read_array(tiny / f"labels/{case}.npy")
            shared = np.sum((found == index) & (truth == index))
            of_cases.append(2 * shared / (np.sum(found == index) + np.sum(truth == index)))
        per_class.append(np.mean(of_cases))
    said = float(history(job)[-1]["validation_dice"])
    assert said == pytest.approx(np.mean(per_class), abs=2e-4)
    assert said > 0.05


def test_the_value_stands_where_it_was_measured_and_cells_between_are_empty(tiny, tmp_path):
    training = {"iterations": 7, "log_every": 2, "validate_every": 4}
    job = make_job(tiny, tmp_path / "run", training=training)
    run(job)
    rows = history(job)
    assert [row["step"] for row in rows] == ["2", "4", "6", "7"]
    measured = [row["step"] for row in rows if row["validation_dice"] != ""]
    assert measured == ["4", "7"]


@pytest.mark.parametrize(("method", "axes"), [("arco", 2), ("mt", 2), ("cct", 3)])
def test_training_keeps_its_bits_with_a_curve(tiny, tmp_path, method, axes):
    plain, curve = (
        make_job(tiny, tmp_path / name, axes=axes, method=method, training=training)
        for name, training in (("plain", {}), ("curve", CURVE))
    )
    without, with_curve = run(plain), run(curve)
    assert with_curve["weights.safetensors"] == without["weights.safetensors"]
    rows = history(curve)
    assert {row.pop("validation_dice") != "" for row in rows} == {True, False}
    assert rows == history(plain)


def test_a_run_with_a_curve_ends_with_the_same_bytes_after_a_kill(tiny, tmp_path, monkeypatch):
    undisturbed = run(make_job(tiny, tmp_path / "undisturbed", training=CURVE))
    job = make_job(tiny, tmp_path / "killed", training=CURVE)
    run_killed(job, monkeypatch, saved=3, killed=5)
    assert not (job.out / "history.csv").exists()
    assert run(job) == undisturbed


@pytest.fixture
def curve(tiny, tmp_path):
    """A curve, and the weights of a network that calls every pixel of the last class."""
    job = make_job(tiny, tmp_path / "run", training=CURVE)
    curve = ValidationCurve(Prepared(tiny), job.validation_list, job.settings, torch.device("cpu"))
    weights = {name: torch.zeros_like(t) for name, t in curve.network.state_dict().items()}
    weights["classifier.bias"] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    return curve, weights


def test_a_class_that_is_missed_counts_as_zero_and_one_that_fills_the_image_by_its_size(
    tiny, curve
):
    measure, weights = curve
    truths = [files.read_array(tiny / f"labels/{case}.npy") == 3 for case in CASES["val"]]
    expected = np.mean([2 * truth.sum() / (truth.sum() + truth.size) for truth in truths])
    assert measure.mean_dice(weights) == pytest.approx(expected / 3)


def test_a_class_that_is_neither_true_nor_predicted_anywhere_leaves_the_value_undefined(curve):
    measure, weights = curve
    measure.prepared.labels = lambda case: np.full((20, 32, 48), 3, dtype=np.uint8)
    assert np.isnan(measure.mean_dice(weights))


def test_a_case_where_a_class_is_undefined_does_not_count_for_it(curve):
    measure, weights = curve
    everywhere = np.full((20, 32, 48), 3, dtype=np.uint8)
    with_others = everywhere.copy()
    with_others[0, 0] = 1
    with_others[0, 1] = 2
    measure.prepared.labels = dict(zip(CASES["val"], (everywhere, with_others), strict=True)).get
    missed = 2 * 48
    full = 20 * 32 * 48
    expected = np.mean([1.0, 2 * (full - missed) / (2 * full - missed)])
    assert measure.mean_dice(weights) == pytest.approx(expected / 3)
