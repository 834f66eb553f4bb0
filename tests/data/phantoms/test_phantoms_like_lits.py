"""Synthetic livers lie in the image as real ones do, within the ranges measured on real scans."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from measures_lits_la import (
    Range,
    assert_alike,
    distance_from_center,
    extent,
    percentiles,
    share_of_slices,
)

from arco.data.cases import RawCase
from arco.data.geometry import read_scan, to_prepared

LAYOUT = "lits"
PATIENTS = 16
SEED = 7

# Measured on the label maps of 112 LiTS scans: 5th percentile, median, 95th percentile.
REAL: dict[Callable[[np.ndarray], float], Range] = {
    share_of_slices: (0.041, 0.067, 0.097),
    extent: (0.44, 0.58, 0.70),
    distance_from_center: (0.08, 0.15, 0.19),
}


@pytest.fixture(scope="module")
def organs(cases: list[RawCase]) -> list[np.ndarray]:
    """[Z, 64, 64] bool of each case: the liver with its lesions in prepared slices."""
    labels = [read_scan(case.label, labels=True) for case in cases if case.label]
    return [to_prepared(label, (64, 64), None, nearest=True) > 0 for label in labels]


@pytest.mark.parametrize("measure", REAL, ids=lambda measure: measure.__name__)
def test_livers_are_as_large_and_as_far_from_the_center_as_real_ones(
    measure: Callable[[np.ndarray], float], organs: list[np.ndarray]
) -> None:
    assert_alike(percentiles([measure(organ) for organ in organs]), REAL[measure])
