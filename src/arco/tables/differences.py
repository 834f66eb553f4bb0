"""Paired differences of two recipes: the same test cases, the same seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arco.schema.reports import Bootstrap
from arco.tables.bootstrap import Floats, Interval, average, interval
from arco.tables.collect import SCORES, RunScores, deviation, json_number


@dataclass(frozen=True)
class Difference:
    """How much higher a row's average score is than the reference's.

    Attributes:
        mean: over seeds, cases and classes, in the unit of the file; NaN where a class has no pair.
        interval: of `mean`, over resampled patients.
        per_seed: the difference of each seed that both have.
        patients: how many were tested.
        pairs: case x class x seed pairs.
        undefined: how many of those lack a score on one side and are therefore not part of it.
    """

    mean: float
    interval: Interval
    per_seed: tuple[float, ...]
    patients: int
    pairs: int
    undefined: int

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds (n - 1); NaN below two seeds that have a value."""
        return deviation(self.per_seed)

    def as_json(self) -> dict[str, Any]:
        """Plain values, None for NaN."""
        return {
            "difference": json_number(self.mean),
            "low": json_number(self.interval.low),
            "high": json_number(self.interval.high),
            "excludes_zero": self.interval.excludes_zero,
            "difference_std": json_number(self.std),
            "difference_per_seed": [json_number(value) for value in self.per_seed],
            "patients": self.patients,
            "pairs": self.pairs,
            "undefined_pairs": self.undefined,
            "undefined_resamples": self.interval.undefined,
        }


def difference(
    row: Mapping[int, RunScores],
    reference: Mapping[int, RunScores],
    score: str,
    bootstrap: Bootstrap,
) -> Difference:
    """The difference of two recipes in one score.

    For each case and class the row's score minus the reference's, averaged over the seeds in which
    both are defined; then averaged over cases and classes as tables do.

    Args:
        row: runs by seed.
        reference: the same; all runs are over the same cases (`read_runs` checks it), and at least
            one seed is in common.
        score: a column of the metrics files.
        bootstrap: how the interval is drawn.
    """
    column = SCORES.index(score)
    seeds = [seed for seed in row if seed in reference]
    pairs = np.stack(
        [row[seed].values[..., column] - reference[seed].values[..., column] for seed in seeds]
    )
    patients = row[seeds[0]].patients
    values = _mean_over_seeds(pairs)
    return Difference(
        mean=average(values),
        interval=interval(values, patients, bootstrap),
        per_seed=tuple(map(average, pairs)),
        patients=len(set(patients)),
        pairs=pairs.size,
        undefined=int(np.isnan(pairs).sum()),
    )


def _mean_over_seeds(pairs: Floats) -> Floats:
    """[seeds, classes, cases] to [classes, cases], over the seeds where a pair is defined."""
    defined = ~np.isnan(pairs)
    counts = defined.sum(axis=0)
    means: Floats = np.nansum(pairs, axis=0) / np.where(counts, counts, np.nan)
    return means
