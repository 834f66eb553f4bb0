"""The samplers' variances at the snapshots of a run, at fixed weights and on fixed batches.

Each snapshot is put into the method of its run, and training batches pass through it as in a step
of the loop. What differs from there on is the draws alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from arco import files
from arco.contracts import Batch, Randomness
from arco.contrast_variance.estimates import Estimate, average, mean_of_blocks, quotient
from arco.contrast_variance.queries import (
    SAMPLERS,
    drawn_traces,
    predicted_variances,
    query_fields,
)
from arco.contrast_variance.training_draws import training_traces
from arco.device import choose_device, make_deterministic, reuse_memory
from arco.fields import Sampler
from arco.jobs import require_snapshots
from arco.methods.arco import Method
from arco.models.build import load_state
from arco.progress import Report
from arco.schema.sections import Variance
from arco.training import Job, Run

QUERIES, BOTH = "queries", "queries and negatives"
QUANTITIES = {
    QUERIES: ("loss", "head gradient"),
    BOTH: ("loss", "head gradient", "weights gradient"),
}
"""What is measured of each kind of draw."""


class Key(NamedTuple):
    """What varies, what is drawn anew, and by whom."""

    quantity: str
    drawn: str
    sampler: Sampler


class Measured(NamedTuple):
    """A variance as it was measured, and as the theory says; None where it says nothing."""

    variance: Estimate
    predicted: float | None


Variances = Mapping[Key, Measured]


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        step: finished steps of the run at the snapshot.
        key: what was measured.
        measured: its variance, the mean over batches.
        ratio: to that of naive sampling; NaN where nothing varies.
        predicted_ratio: of the predicted variances, or None.
    """

    step: int
    key: Key
    measured: Measured
    ratio: Estimate
    predicted_ratio: float | None


def measure_run(
    run: Path,
    numbers: Variance,
    *,
    prepared: Path,
    training_list: Path,
    labeled_list: Path,
    device: str,
    threads: int,
    report: Report,
) -> list[Row]:
    """Measure at every snapshot of a run.

    Args:
        run: folder of a trained cell, with settings.json and snapshots.
        numbers: how many batches and draws, and their seed.
        prepared: folder of the prepared dataset.
        training_list: case ids of the training part.
        labeled_list: those with labels.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.
        report: called with (done, total) batches.

    Returns:
        By snapshot, quantity, what is drawn, and sampler.

    Raises:
        ArcoError: the run is not ARCO's or has no snapshots; a file is missing or damaged.
    """
    chosen = choose_device(device)
    make_deterministic(chosen, threads)
    reuse_memory()
    settings = files.read_json(run / "settings.json")
    require_snapshots(settings, str(run))
    job = Job(settings, prepared, training_list, labeled_list, pretrained=None, out=run, resume=run)
    snapshots = Run(job, chosen).snapshots
    total = len(snapshots.steps) * numbers.batches
    rows: list[Row] = []
    done = 0
    report(done, total)
    for step, name in zip(snapshots.steps, snapshots.names, strict=True):
        restored = Run(job, chosen)  # a new one: its batches and views start from the seed
        method = restored.method
        assert isinstance(method, Method)
        load_state(method, run / name)
        torch.manual_seed(numbers.seed)  # dropout
        randomness = Randomness(numbers.seed, chosen)
        measured = []
        for index in range(numbers.batches):
            batch, label = restored.batches.next(), f"step {step}, batch {index}"
            measured.append(measure_batch(method, batch, numbers, randomness, label))
            done += 1
            report(done, total)
        rows += _rows(step, measured)
    return rows


def measure_batch(
    method: Method, batch: Batch, numbers: Variance, randomness: Randomness, label: str
) -> Variances:
    """Measure on one batch.

    Args:
        method: with the weights of a snapshot, in train mode.
        batch: as for a training step.
        numbers: how many draws.
        randomness: gives every series of draws its own generator.
        label: of the weights and batch, in the names of these generators.

    Returns:
        All zero where no class has a hard pixel and another class beside it: nothing is drawn.
    """
    compared, contrast, settings = method.compare(batch).compared, method.contrast, method.settings
    fields = query_fields(contrast, compared, randomness.generator(f"{label}, keys"))
    if not fields:
        return {
            key: Measured(Estimate(0.0, 0.0), 0.0 if key.drawn == QUERIES else None)
            for key in _keys()
        }
    weights = [*method.student.parameters(), *contrast.head.parameters()]
    predicted = predicted_variances(fields, settings)
    found: dict[Key, Measured] = {}
    for sampler in SAMPLERS:
        generator = randomness.generator(f"{label}, {sampler}, {QUERIES}")
        queries = drawn_traces(
            fields, settings, sampler, generator, draws=numbers.query_draws, block=numbers.block
        )
        generator = randomness.generator(f"{label}, {sampler}, {BOTH}")
        both = training_traces(
            contrast.drawing_by(sampler, generator),
            compared,
            weights,
            draws=numbers.training_draws,
            block=numbers.block,
        )
        for quantity, traces in queries.items():
            key = Key(quantity, QUERIES, sampler)
            found[key] = Measured(mean_of_blocks(traces), predicted[quantity][sampler])
        for quantity, traces in both.items():
            found[Key(quantity, BOTH, sampler)] = Measured(mean_of_blocks(traces), None)
    return found


def _rows(step: int, measured: Sequence[Variances]) -> list[Row]:
    """The lines of a snapshot from those of its batches."""
    means = {key: _mean([one[key] for one in measured]) for key in measured[0]}
    rows = []
    for key in _keys():
        own, naive = means[key], means[key._replace(sampler="ns")]
        ratio = Estimate(1.0, 0.0)
        if key.sampler != "ns":
            ratio = quotient(own.variance, naive.variance)
        rows.append(Row(step, key, own, ratio, _predicted_ratio(own, naive)))
    return rows


def _keys() -> list[Key]:
    """All that is measured, in the order of the result."""
    return [
        Key(quantity, drawn, sampler)
        for drawn, quantities in QUANTITIES.items()
        for quantity in quantities
        for sampler in SAMPLERS
    ]


def _mean(measured: Sequence[Measured]) -> Measured:
    predicted = [one.predicted for one in measured if one.predicted is not None]
    mean = math.fsum(predicted) / len(predicted) if predicted else None
    return Measured(average([one.variance for one in measured]), mean)


def _predicted_ratio(own: Measured, naive: Measured) -> float | None:
    if own.predicted is None or not naive.predicted:
        return None
    return own.predicted / naive.predicted
