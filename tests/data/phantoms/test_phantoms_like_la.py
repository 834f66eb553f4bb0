"""Synthetic atria are as large and as bright as real ones, within the ranges of real scans."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from measures_lits_la import (
    Range,
    assert_alike,
    boxed,
    mean_of_organ,
    mean_of_rest,
    percentile_99,
    percentiles,
    share_of_volume,
)

from arco.data.cases import RawCase

LAYOUT = "la"
PATIENTS = 14
SEED = 7

Measure = Callable[[np.ndarray, np.ndarray], float]

# Measured on 100 LA scans: 5th percentile, median, 95th percentile.
REAL: dict[Measure, Range] = {
    share_of_volume: (0.050, 0.077, 0.137),
    mean_of_organ: (0.19, 0.45, 0.64),
    mean_of_rest: (0.13, 0.25, 0.35),
    percentile_99: (0.34, 0.62, 0.74),
}


@pytest.fixture(scope="module")
def boxes(cases: list[RawCase]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [boxed(case) for case in cases]


@pytest.mark.parametrize("measure", REAL, ids=lambda measure: measure.__name__)
def test_atria_are_as_large_and_scans_as_bright_as_real_ones(
    measure: Measure, boxes: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    assert_alike(percentiles([measure(*box) for box in boxes]), REAL[measure])


def test_a_few_voxels_decide_the_scale_of_a_scan(
    boxes: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for image, _ in boxes:
        assert (image > 1.25 * np.percentile(image, 99)).mean() < 0.002
    assert min(np.percentile(image, 99.9) for image, _ in boxes) < 0.6
