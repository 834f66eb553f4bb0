from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from small_runs import make_job, run, run_killed

from arco.snapshots import Snapshots
from arco.training import Run

KEPT = {"snapshots": [0.5, 0.34, 1.0]}


def test_shares_of_a_run_are_its_nearest_steps_from_the_first_on(tmp_path):
    assert Snapshots([0.1, 0.5, 1.0], 400, tmp_path).steps == [40, 200, 400]
    assert Snapshots([1.0, 0.01, 0.02], 6, tmp_path).steps == [1, 6]
    assert Snapshots([], 6, tmp_path).steps == []


@pytest.mark.parametrize("method", ["arco", "action", "cps"])
def test_a_snapshot_is_the_whole_state_of_the_method_at_its_step(tiny, tmp_path, method):
    job = make_job(tiny, tmp_path / "run", method=method, training=KEPT)
    run(job)
    training = Run(job, torch.device("cpu"))
    for step in range(1, training.total + 1):
        training._take_step()
        path = job.out / f"snapshots/{step}.safetensors"
        assert path.exists() == (step in (2, 3, 6))
        if path.exists():
            kept, state = load_file(path), training.method.state_dict()
            assert set(kept) == set(state)
            assert all(torch.equal(kept[name], state[name]) for name in state)
    training.method.load_state_dict(load_file(job.out / "snapshots/2.safetensors"))


def test_what_is_no_tensor_is_left_out(tiny, tmp_path):
    job = make_job(tiny, tmp_path / "run", method="dan", training=KEPT)
    run(job)
    state = Run(job, torch.device("cpu")).method.state_dict()
    left_out = set(state) - set(load_file(job.out / "snapshots/6.safetensors"))
    assert left_out == {"adversary._extra_state"}


def test_training_keeps_its_bits_with_snapshots(tiny, tmp_path):
    plain = run(make_job(tiny, tmp_path / "plain"))
    kept = run(make_job(tiny, tmp_path / "kept", training=KEPT))
    for name in ("weights.safetensors", "history.csv"):
        assert kept[name] == plain[name]


@pytest.mark.parametrize(("saved", "killed"), [(1, 5), (2, 5), (4, 5)])
def test_after_a_kill_no_snapshot_is_lost_or_doubled(tiny, tmp_path, monkeypatch, saved, killed):
    undisturbed = run(make_job(tiny, tmp_path / "undisturbed", training=KEPT))
    job = make_job(tiny, tmp_path / "killed", training=KEPT)
    run_killed(job, monkeypatch, saved=saved, killed=killed)
    assert not job.out.exists()
    assert run(job) == undisturbed
    assert sorted(path.name for path in job.resume.iterdir()) == ["done.json", "lock"]


def test_a_finished_run_that_lost_a_snapshot_is_not_finished(tiny, tmp_path):
    job = make_job(tiny, tmp_path / "run", training=KEPT)
    first = run(job)
    (job.out / "snapshots/3.safetensors").unlink()
    assert run(job) == first


def test_a_run_without_snapshots_removes_those_of_the_run_before(tiny, tmp_path):
    run(make_job(tiny, tmp_path / "run", training=KEPT))
    assert not any("snapshots" in name for name in run(make_job(tiny, tmp_path / "run")))
