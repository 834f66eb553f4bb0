"""The bootstrap over patients: how far a mean depends on who was tested.

Patients, not cases, are drawn with replacement: two scans of one patient are no two witnesses. The
trained networks are held fixed, so an interval says nothing of how another seed would differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.schema.reports import Bootstrap

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """The middle part of the resampled means.

    Attributes:
        low, high: its ends; NaN where there are fewer than two patients or no mean.
        undefined: how many resamples have no mean, since a class is undefined in all their cases;
            they are left out.
    """

    low: float
    high: float
    undefined: int

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends lie on one side of zero."""
        return self.low > 0 or self.high < 0


def average(values: Floats) -> float:
    """The mean over classes of their means over cases, as tables average.

    Args:
        values: [classes, cases]; NaN where undefined.

    Returns:
        NaN where a class is undefined in every case.
    """
    sums, counts = _sums_and_counts(values)
    return float(_mean_over_classes(sums.sum(axis=1), counts.sum(axis=1)))


def interval(values: Floats, patients: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """The interval of the `average` of values over resampled patients (percentile method).

    Args:
        values: [classes, cases]; NaN where undefined.
        patients: of each case.
        bootstrap: resamples, level, and the seed of a generator of its own: equal patients are
            resampled alike for every row of a table, whatever other rows there are.
    """
    averages = resampled_averages(values, patients, bootstrap)
    defined = averages[~np.isnan(averages)]
    undefined = len(averages) - len(defined)
    if len(set(patients)) < 2 or not len(defined):
        return Interval(math.nan, math.nan, undefined)
    outside = (1 - bootstrap.level) / 2
    low, high = np.quantile(defined, [outside, 1 - outside])
    return Interval(float(low), float(high), undefined)


def resampled_averages(values: Floats, patients: Sequence[str], bootstrap: Bootstrap) -> Floats:
    """The `average` of each resample, [resamples]; arguments as for `interval`.

    A resample has as many patients as there are, each with all of its cases.
    """
    names, of_case = np.unique(np.asarray(patients), return_inverse=True)
    sums, counts = (
        np.stack([terms[:, of_case == patient].sum(axis=1) for patient in range(len(names))], 1)
        for terms in _sums_and_counts(values)
    )
    generator = np.random.default_rng(bootstrap.seed)
    drawn = generator.integers(len(names), size=(bootstrap.resamples, len(names)))
    return _mean_over_classes(sums[:, drawn].sum(axis=2), counts[:, drawn].sum(axis=2))


def _sums_and_counts(values: Floats) -> tuple[Floats, Floats]:
    """What a case adds to the sum and to the number of defined values of its class."""
    undefined = np.isnan(values)
    return np.where(undefined, 0.0, values), (~undefined).astype(np.float64)


def _mean_over_classes(sums: Floats, counts: Floats) -> Floats:
    """[classes, ...] to [...]; NaN where a class has no value."""
    means: Floats = np.mean(sums / np.where(counts, counts, np.nan), axis=0)
    return means
