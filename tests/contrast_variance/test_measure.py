"""The measurement over the snapshots of a run, and of one batch."""

from __future__ import annotations

import re
import shutil

import pytest
import torch
from small_contrast import small_batch, small_method
from small_runs import make_job, run

from arco.contracts import Randomness
from arco.contrast_variance import measure as measure_module
from arco.contrast_variance.measure import BOTH, QUERIES, Key, measure_batch, measure_run
from arco.errors import ArcoError
from arco.methods.arco import Method
from arco.schema.sections import Variance

NUMBERS = Variance(batches=2, query_draws=8, training_draws=4, block=2, seed=0)


def measure(job, numbers=NUMBERS):
    return measure_run(
        job.out,
        numbers,
        prepared=job.prepared,
        training_list=job.training_list,
        labeled_list=job.labeled_list,
        device="cpu",
        threads=1,
        report=lambda done, total: None,
    )


@pytest.fixture(scope="module")
def rows(measurable):
    return measure(measurable)


def test_each_snapshot_has_every_quantity_draw_and_sampler(rows):
    lines = [("loss", QUERIES), ("head gradient", QUERIES)]
    lines += [(quantity, BOTH) for quantity in ("loss", "head gradient", "weights gradient")]
    expected = [Key(*line, sampler) for line in lines for sampler in ("ns", "sg", "sag")]
    assert [row.key for row in rows] == expected * 2
    assert [row.step for row in rows] == [2] * 15 + [6] * 15
    for row in rows:
        assert row.measured.variance.value > 0
        assert (row.predicted_ratio is None) == (row.key.drawn == BOTH)
        if row.key.sampler == "ns":
            assert row.ratio == (1.0, 0.0)
    assert len({row.measured.variance.value for row in rows}) == 30


def test_ratios_are_those_of_means_over_batches(rows):
    found = {(row.step, row.key): row for row in rows}
    for (step, key), row in found.items():
        naive = found[step, key._replace(sampler="ns")]
        expected = row.measured.variance.value / naive.measured.variance.value
        assert row.ratio.value == pytest.approx(expected)
        if row.predicted_ratio is not None:
            expected = row.measured.predicted / naive.measured.predicted
            assert row.predicted_ratio == pytest.approx(expected)


def test_one_seed_gives_one_result_and_another_seed_another(measurable, rows):
    assert measure(measurable) == rows
    others = measure(measurable, NUMBERS.model_copy(update={"seed": 1}))
    for row, other in zip(rows, others, strict=True):
        assert other.measured.variance != row.measured.variance


def test_every_series_of_draws_has_a_generator_of_its_own(measurable, monkeypatch):
    seeds = []

    def spy(name, generator_of):
        function = getattr(measure_module, name)

        def called(*arguments, **options):
            seeds.append(generator_of(arguments).initial_seed())
            return function(*arguments, **options)

        monkeypatch.setattr(measure_module, name, called)

    spy("query_fields", lambda arguments: arguments[2])
    spy("drawn_traces", lambda arguments: arguments[3])
    spy("training_traces", lambda arguments: arguments[0].generator)
    for seed in (0, 1):
        measure(measurable, NUMBERS.model_copy(update={"seed": seed}))
    # seeds of a measurement, snapshots, batches; keys once, and both kinds of draws by each sampler
    assert len(set(seeds)) == len(seeds) == 2 * 2 * 2 * (1 + 2 * 3)


def test_every_snapshot_sees_the_same_images_and_its_own_weights(measurable, monkeypatch):
    seen, compare = [], Method.compare

    def spy(method, batch):
        passes = compare(method, batch)
        weight = method.student.classifier.weight.detach().clone()
        seen.append((batch.images, passes.seen.images, weight))
        return passes

    monkeypatch.setattr(Method, "compare", spy)
    measure(measurable)
    first, second, *later = seen
    for early, late in zip((first, second), later, strict=True):
        assert torch.equal(early[0], late[0]) and torch.equal(early[1], late[1])
        assert not torch.equal(early[2], late[2])
    assert not torch.equal(first[0], second[0])


def test_nothing_varies_where_nothing_is_drawn():
    method = small_method(strong_threshold=0.0)  # no pixel is hard
    found = measure_batch(method, small_batch(), NUMBERS, Randomness(0, torch.device("cpu")), "")
    assert len(found) == 15
    assert all(one.variance == (0.0, 0.0) and not one.predicted for one in found.values())


@pytest.mark.parametrize(
    ("method", "training", "sentence"),
    [
        ("arco", {}, r"run keeps no snapshots; set training\.snapshots"),
        ("mt", {"snapshots": [1.0]}, r"run trains by mt, not by ARCO"),
    ],
)
def test_a_run_that_cannot_be_measured_is_told(tiny, tmp_path, method, training, sentence):
    job = make_job(tiny, tmp_path / "run", method=method, training=training)
    run(job)
    with pytest.raises(ArcoError, match=sentence):
        measure(job)


def test_a_missing_run_or_snapshot_is_told_by_its_name(measurable, tmp_path):
    shutil.copytree(measurable.out, tmp_path / "run")
    job = make_job(measurable.prepared, tmp_path / "run", method="arco")
    snapshot = job.out / "snapshots/6.safetensors"
    snapshot.write_bytes((job.out / "weights.safetensors").read_bytes())
    named = re.escape(str(snapshot))
    with pytest.raises(ArcoError, match=rf"^{named} does not fit .*first misfit"):
        measure(job)
    snapshot.unlink()
    with pytest.raises(ArcoError, match=rf"^{named} is missing; train it first"):
        measure(job)
    (job.out / "settings.json").unlink()
    with pytest.raises(ArcoError, match=r"settings\.json is missing"):
        measure(job)


def test_a_measurement_writes_nothing(measurable):
    before = sorted(path for path in measurable.out.rglob("*"))
    measure(measurable)
    assert sorted(path for path in measurable.out.rglob("*")) == before
