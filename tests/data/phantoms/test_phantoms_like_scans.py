"""Phantoms of ACDC lie within the range of its scans: what is chosen on them may carry over."""

from __future__ import annotations

import numpy as np
import pytest
from scan_statistics import (
    deviation,
    distance_from_center,
    extent,
    largest_slice,
    mean_intensity,
    organ_share,
    percentiles,
    share_of_slices_without,
)

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings, convert

LAYOUT = "acdc"
PATIENTS = 24
SEED = 2023

MYOCARDIUM, LEFT_VENTRICLE = 2, 3
SETTINGS = PreparationSettings({"background": 0, "rv": 1, "myo": 2, "lv": 3}, (64, 64), None, 1)

# 5th percentile, median and 95th percentile, measured on the 200 scans of ACDC.
REAL = {
    "organ share of all pixels": (0.020, 0.036, 0.058),
    "heart's extent in its largest slice": (0.23, 0.31, 0.40),
    "heart's distance from the center": (0.04, 0.09, 0.18),
    "mean intensity of blood in the left ventricle": (0.14, 0.39, 0.57),
    "mean intensity of the myocardium": (0.06, 0.16, 0.28),
    "mean intensity of everything else": (0.05, 0.14, 0.21),
    "99th percentile of the scan": (0.27, 0.58, 0.88),
    "standard deviation inside the blood pool": (0.05, 0.11, 0.19),
    "share of slices without heart": (0.0, 0.0, 0.13),
    "slices": (7.0, 9.0, 15.0),
}


def measure(case: RawCase) -> dict[str, float]:
    """The measures of REAL for one case."""
    prepared = convert(case.images, case.label, SETTINGS)
    image, labels = prepared.images[0], prepared.labels
    heart = largest_slice(labels)
    values = (
        organ_share(labels),
        extent(heart),
        distance_from_center(heart),
        mean_intensity(image, labels == LEFT_VENTRICLE),
        mean_intensity(image, labels == MYOCARDIUM),
        mean_intensity(image, labels == 0),
        float(np.percentile(image, 99)),
        deviation(image, labels == LEFT_VENTRICLE),
        share_of_slices_without(labels),
        len(labels),
    )
    return dict(zip(REAL, values, strict=True))


@pytest.fixture(scope="module")
def measured(cases: list[RawCase]) -> list[dict[str, float]]:
    return [measure(case) for case in cases]


@pytest.mark.parametrize("name", REAL)
def test_the_median_phantom_lies_within_the_range_of_scans(
    measured: list[dict[str, float]], name: str
) -> None:
    lowest, _, highest = REAL[name]
    _, median, _ = percentiles(measured)[name]
    assert lowest <= median <= highest


@pytest.mark.parametrize("name", REAL)
def test_phantoms_differ_from_each_other_as_much_as_scans_do(
    measured: list[dict[str, float]], name: str
) -> None:
    lowest, _, highest = REAL[name]
    low, _, high = percentiles(measured)[name]
    assert (highest - lowest) / 2 <= high - low <= 2 * (highest - lowest)


def test_some_scans_are_nearly_black_for_a_few_bright_voxels(
    measured: list[dict[str, float]],
) -> None:
    # 13 of the 200 scans of ACDC.
    dark = np.mean([values["99th percentile of the scan"] < 0.3 for values in measured])
    assert 0.02 <= dark <= 0.2
