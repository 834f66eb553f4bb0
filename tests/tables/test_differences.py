from __future__ import annotations

import math

import pytest

from arco.schema.reports import Bootstrap
from arco.tables.collect import read_runs
from arco.tables.differences import difference

NAN = math.nan
BOOTSTRAP = Bootstrap(resamples=2000, level=0.95, seed=0)


@pytest.fixture
def compare(write_metrics):
    """The difference in Dice from values by seed, each by (case, class)."""

    def run(row, reference, classes=("lv",), score="dice", **options):
        paths = {
            (name, seed): write_metrics(
                f"{name}{seed}",
                {key: pair if isinstance(pair, tuple) else (pair, 1.0) for key, pair in of.items()},
                **options,
            )
            for name, seeds in (("row", row), ("reference", reference))
            for seed, of in seeds.items()
        }
        runs = read_runs(paths.values(), classes, "test")
        by_name = {
            name: {seed: runs[paths[name, seed]] for seed in seeds}
            for name, seeds in (("row", row), ("reference", reference))
        }
        return difference(by_name["row"], by_name["reference"], score, BOOTSTRAP)

    return run


def test_a_difference_is_the_mean_over_seeds_and_cases_with_both_spreads(compare):
    found = compare(
        {0: {("a", "lv"): 0.8, ("b", "lv"): 0.6}, 1: {("a", "lv"): 0.9, ("b", "lv"): 0.5}},
        {0: {("a", "lv"): 0.7, ("b", "lv"): 0.6}, 1: {("a", "lv"): 0.6, ("b", "lv"): 0.5}},
    )
    # patient a gains 0.1 and 0.3, patient b nothing
    assert found.mean == pytest.approx(0.1)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0, 0.2))
    assert found.per_seed == pytest.approx((0.05, 0.15))
    assert found.std == pytest.approx(0.1 / math.sqrt(2))
    assert (found.patients, found.pairs, found.undefined) == (2, 4, 0)


def test_pairs_go_by_case_and_not_by_line(compare):
    straight = {("a", "lv"): 0.8, ("b", "lv"): 0.2, ("c", "lv"): 0.5}
    shuffled = {("c", "lv"): 0.4, ("a", "lv"): 0.7, ("b", "lv"): 0.1}
    found = compare({0: straight}, {0: shuffled})
    # every case gains 0.1: pairs by line would differ
    assert (found.interval.low, found.interval.high) == pytest.approx((0.1, 0.1))
    assert found.interval.excludes_zero


def test_patients_of_several_scans_are_drawn_whole(compare):
    row = {("a1", "lv"): 0.8, ("a2", "lv"): 0.6, ("b1", "lv"): 0.5, ("b2", "lv"): 0.5}
    reference = dict.fromkeys(row, 0.5)
    patients = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    found = compare({0: row}, {0: reference}, patients=patients)
    assert found.patients == 2
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0, 0.2))


def test_only_seeds_that_both_have_count(compare):
    found = compare(
        {0: {("a", "lv"): 0.8}, 1: {("a", "lv"): 0.0}},
        {2: {("a", "lv"): 0.9}, 0: {("a", "lv"): 0.5}},
    )
    assert found.per_seed == pytest.approx((0.3,))
    assert found.pairs == 1
    assert math.isnan(found.std)


def test_an_undefined_score_on_either_side_leaves_its_pair_out_and_is_counted(compare):
    found = compare(
        {0: {("a", "lv"): NAN, ("b", "lv"): 0.6}, 1: {("a", "lv"): 0.9, ("b", "lv"): 0.6}},
        {0: {("a", "lv"): 0.7, ("b", "lv"): NAN}, 1: {("a", "lv"): 0.6, ("b", "lv"): 0.5}},
    )
    # what is left: a and b of seed 1
    assert (found.pairs, found.undefined) == (4, 2)
    assert found.mean == pytest.approx((0.3 + 0.1) / 2)
    assert found.per_seed[1] == pytest.approx(0.2)
    assert math.isnan(found.per_seed[0])
    assert math.isnan(found.std)


def test_classes_weigh_alike_in_a_difference(compare):
    found = compare(
        {0: {("a", "lv"): 0.9, ("a", "rv"): 0.5, ("b", "lv"): 0.7, ("b", "rv"): NAN}},
        {0: {("a", "lv"): 0.5, ("a", "rv"): 0.6, ("b", "lv"): 0.7, ("b", "rv"): 0.0}},
        classes=("rv", "lv"),
    )
    assert found.mean == pytest.approx(((0.4 + 0.0) / 2 + -0.1) / 2)
    assert found.undefined == 1


def test_a_class_that_no_pair_has_leaves_the_difference_undefined(compare):
    found = compare(
        {0: {("a", "lv"): 0.9, ("a", "rv"): NAN}}, {0: {("a", "lv"): 0.5, ("a", "rv"): 0.5}},
        classes=("rv", "lv"),
    )  # fmt: skip
    assert found.as_json()["difference"] is None
    assert found.as_json()["low"] is None


def test_any_score_of_the_files_can_be_compared(compare):
    found = compare({0: {("a", "lv"): (0.5, 2.0)}}, {0: {("a", "lv"): (0.5, 3.5)}}, score="assd_mm")
    assert found.mean == pytest.approx(-3.0)
