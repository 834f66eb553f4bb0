from __future__ import annotations

import math

import numpy as np
import pytest

from arco.schema.reports import Bootstrap
from arco.tables.bootstrap import average, interval, resampled_averages

NAN = math.nan


def bootstrap(level=0.95, resamples=4000, seed=0):
    return Bootstrap(resamples=resamples, level=level, seed=seed)


def shares(values, patients):
    """How often each resampled average occurs."""
    averages = resampled_averages(np.array(values), patients, bootstrap())
    found, counts = np.unique(np.round(averages, 12), return_counts=True)
    return dict(zip(found.tolist(), (counts / len(averages)).tolist(), strict=True))


def test_two_patients_give_both_extremes_a_quarter_of_the_resamples_each():
    found = shares([[0.2, 0.0]], ["a", "b"])
    assert list(found) == [0.0, 0.1, 0.2]
    assert list(found.values()) == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_interval_holds_the_middle_share_of_the_resamples():
    values = np.array([[0.2, 0.0]])
    wide = interval(values, ["a", "b"], bootstrap(0.95))
    assert (wide.low, wide.high) == pytest.approx((0.0, 0.2))
    half = interval(values, ["a", "b"], bootstrap(0.4))  # from 30 % to 70 %, all of them 0.1
    assert (half.low, half.high) == pytest.approx((0.1, 0.1))


def test_cases_of_a_patient_stay_together_and_each_of_them_counts():
    # Single cases would also give 0.3 and many values between; patients of one weight 0.1.
    found = shares([[0.3, 0.1, 0.2, 0.0]], ["a", "a", "a", "b"])
    assert list(found) == pytest.approx([0.0, (0.3 + 0.1 + 0.2) / 4, 0.2])


def test_patients_are_told_by_name_and_not_by_place():
    together = resampled_averages(np.array([[0.3, 0.1, 0.0]]), ["a", "a", "b"], bootstrap())
    apart = resampled_averages(np.array([[0.3, 0.0, 0.1]]), ["a", "b", "a"], bootstrap())
    np.testing.assert_allclose(together, apart)


def test_classes_weigh_alike_however_often_each_is_undefined():
    values = np.array([[0.4, NAN], [0.0, 0.2]])
    assert average(values) == pytest.approx((0.4 + 0.1) / 2)
    # both a: (0.4 + 0.0) / 2; one of each: (0.4 + 0.1) / 2; both b: the first class is undefined
    averages = resampled_averages(values, ["a", "b"], bootstrap())
    assert set(np.round(averages[~np.isnan(averages)], 12)) == {0.2, 0.25}
    found = interval(values, ["a", "b"], bootstrap())
    assert found.undefined == np.isnan(averages).sum() == pytest.approx(1000, abs=100)
    assert (found.low, found.high) == pytest.approx((0.2, 0.25))


def test_a_class_without_any_value_leaves_no_average_and_no_interval():
    values = np.array([[NAN, NAN], [0.0, 0.2]])
    found = interval(values, ["a", "b"], bootstrap(resamples=10))
    assert math.isnan(average(values))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.undefined == 10
    assert not found.excludes_zero


def test_one_patient_has_no_interval():
    found = interval(np.array([[0.1, 0.3]]), ["a", "a"], bootstrap(resamples=10))
    assert math.isnan(found.low)
    assert not found.excludes_zero


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.1, 0.2], True), ([-0.1, -0.2], True), ([-0.1, 0.2], False), ([0.0, 0.0], False)],
)
def test_an_interval_excludes_zero_on_either_side(values, expected):
    assert interval(np.array([values]), ["a", "b"], bootstrap()).excludes_zero is expected


def test_the_seed_decides_the_resamples():
    values = np.random.default_rng(0).normal(size=(2, 9))
    names = list("abcdefghi")
    first = resampled_averages(values, names, bootstrap())
    np.testing.assert_array_equal(first, resampled_averages(values, names, bootstrap()))
    assert not np.array_equal(first, resampled_averages(values, names, bootstrap(seed=1)))


def test_the_spread_of_many_patients_is_the_standard_error():
    values = np.random.default_rng(1).normal(size=(1, 200))
    names = [f"{index}" for index in range(200)]
    averages = resampled_averages(values, names, bootstrap())
    assert averages.std() == pytest.approx(values.std() / math.sqrt(200), rel=0.05)
    found = interval(values, names, bootstrap())
    assert found.high - found.low == pytest.approx(2 * 1.96 * averages.std(), rel=0.05)
