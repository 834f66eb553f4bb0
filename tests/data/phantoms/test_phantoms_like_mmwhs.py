"""Phantoms of MMWHS lie within the range of real scans: what is chosen on them may carry over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from arco.data.anatomy.whole_heart import LABELS
from arco.data.cases import RawCase
from arco.data.conversion import Converted, PreparationSettings, convert
from arco.data.phantoms.mmwhs import STRAY

LAYOUT = "mmwhs"
PATIENTS = 12
SEED = 2023

CLASSES = {"background": 0, **LABELS}
INDEX = {name: index for index, name in enumerate(CLASSES)}
SETTINGS = PreparationSettings(
    CLASSES, (48, 48), None, 1, axial=True, label_aliases={STRAY: LABELS["la"]}
)


def organ_share(organs: np.ndarray) -> float:
    """Of [Z, H, W] bool: the organs' share of a slice, in the median of those that show some."""
    shares = organs.mean(axis=(1, 2))
    return float(np.median(shares[shares > 0]))


def extent(organs: np.ndarray) -> float:
    """The longer side of the box around the organs of all slices, by the image's side."""
    seen = np.argwhere(organs.any(axis=0))
    return float((np.ptp(seen, axis=0) / organs.shape[1:]).max())


def slices_without(organs: np.ndarray) -> float:
    """The share of slices that show no organ."""
    return float((~organs.any(axis=(1, 2))).mean())


# Measured on the label maps of 20 heart CTs: 5th percentile, median, 95th percentile.
REAL: dict[Callable[[np.ndarray], float], tuple[float, float, float]] = {
    organ_share: (0.057, 0.090, 0.162),
    extent: (0.49, 0.63, 0.79),
    slices_without: (0.04, 0.20, 0.34),
}


@pytest.fixture(scope="module")
def prepared(cases: list[RawCase]) -> list[Converted]:
    return [convert(case.images, case.label, SETTINGS) for case in cases if case.label]


@pytest.fixture(scope="module")
def organs(prepared: list[Converted]) -> list[np.ndarray]:
    """[Z, 48, 48] bool of each case: where any structure lies."""
    return [case.labels > 0 for case in prepared]


@pytest.mark.parametrize("measure", REAL, ids=lambda measure: measure.__name__)
def test_hearts_are_as_large_as_in_real_scans_and_differ_as_much(
    measure: Callable[[np.ndarray], float], organs: list[np.ndarray]
) -> None:
    lowest, _, highest = REAL[measure]
    low, median, high = np.percentile([measure(case) for case in organs], (5, 50, 95)).tolist()
    assert lowest < median < highest
    assert 0.5 < (high - low) / (highest - lowest) < 2


def test_most_scans_begin_and_end_with_a_slice_without_organ(organs: list[np.ndarray]) -> None:
    shown = [case.any(axis=(1, 2)) for case in organs]
    assert sum(not slices[0] for slices in shown) > 0.6 * PATIENTS
    assert sum(not slices[-1] for slices in shown) > 0.6 * PATIENTS


def test_scans_differ_in_how_dark_a_few_bright_voxels_make_them(prepared: list[Converted]) -> None:
    brightness = [float(np.percentile(case.images, 99)) for case in prepared]
    assert min(brightness) < 0.4
    assert max(brightness) > 0.65


def test_much_outside_the_heart_is_as_bright_as_its_blood(prepared: list[Converted]) -> None:
    for case in prepared:
        image = case.images[0]
        blood = image[case.labels == INDEX["lv"]]
        low, high = np.percentile(blood, (5, 95))
        alike = (image[case.labels == 0] > low) & (image[case.labels == 0] < high)
        assert alike.sum() > blood.size


def test_blood_is_uneven_in_one_chamber_more_than_in_another(prepared: list[Converted]) -> None:
    found = []
    for case in prepared:
        blood = case.images[0][case.labels == INDEX["lv"]]
        found.append(float(blood.std() / blood.mean()))
    assert min(found) < 0.16
    assert max(found) > 0.2
