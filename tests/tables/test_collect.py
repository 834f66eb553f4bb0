from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arco.errors import ArcoError
from arco.tables.collect import Summary, read_run, read_runs, summarize

NAN = math.nan
CLASSES = ["rv", "lv"]
THREE_CASES = {
    ("a", "rv"): (0.5, 1.0),
    ("a", "lv"): (0.9, 2.0),
    ("b", "rv"): (0.7, 3.0),
    ("b", "lv"): (0.8, NAN),
    ("c", "rv"): (0.0, NAN),
    ("c", "lv"): (0.1, NAN),
}


def test_a_class_score_is_the_mean_over_its_defined_cases(write_metrics):
    run = read_run(write_metrics("run", THREE_CASES), CLASSES, "test")
    assert run.cases == ("a", "b", "c")
    assert run.means["rv", "dice"] == pytest.approx((0.5 + 0.7 + 0.0) / 3)
    assert run.means["rv", "assd_voxel"] == pytest.approx((1 + 3) / 2)
    assert run.means["lv", "assd_mm"] == pytest.approx(4)


def test_undefined_scores_are_counted(write_metrics):
    run = read_run(write_metrics("run", THREE_CASES), CLASSES, "test")
    assert run.undefined["rv", "dice"] == 0
    assert run.undefined["rv", "assd_voxel"] == 1
    assert run.undefined["lv", "assd_voxel"] == 2
    assert run.undefined["average", "assd_voxel"] == 3


def test_the_average_weighs_classes_equally_however_often_each_is_undefined(write_metrics):
    run = read_run(write_metrics("run", THREE_CASES), CLASSES, "test")
    assert run.means["average", "assd_voxel"] == pytest.approx((2 + 2) / 2)
    assert run.means["average", "dice"] == pytest.approx((0.4 + 0.6) / 2)
    changed = THREE_CASES | {("a", "lv"): (0.9, 8.0)}
    run = read_run(write_metrics("changed", changed), CLASSES, "test")
    assert run.means["average", "assd_voxel"] == pytest.approx((2 + 8) / 2)  # over cases: 4


def test_the_average_is_undefined_where_a_class_is(write_metrics):
    scores = {("a", "rv"): (0.0, NAN), ("a", "lv"): (0.9, 1.0)}
    run = read_run(write_metrics("run", scores), CLASSES, "test")
    assert math.isnan(run.means["average", "assd_voxel"])
    assert run.means["average", "dice"] == pytest.approx(0.45)


def test_several_seeds_give_mean_and_sample_standard_deviation(write_metrics):
    values = [0.5, 0.6, 0.9]
    runs = [
        read_run(write_metrics(f"seed{seed}", {("a", "rv"): (value, 1.0)}), ["rv"], "test")
        for seed, value in enumerate(values)
    ]
    summary = summarize(runs, "average", "dice")
    assert summary.per_seed == (0.5, 0.6, 0.9)
    assert summary.mean == pytest.approx(2 / 3)
    # deviations -1/6, -2/30, 7/30: squares sum to 0.0866..., halved
    assert summary.std == pytest.approx(math.sqrt(0.26 / 3 / 2))
    assert (summary.cases, summary.scores, summary.undefined) == (1, 3, 0)


def test_one_seed_has_no_standard_deviation(write_metrics):
    run = read_run(write_metrics("run", THREE_CASES), CLASSES, "test")
    summary = summarize([run], "average", "assd_voxel")
    assert math.isnan(summary.std)
    assert (summary.cases, summary.scores, summary.undefined) == (3, 6, 3)


def test_a_seed_without_a_score_is_left_out_and_visible():
    summary = Summary(("m0", "m1", "m2"), (0.25, NAN, 0.75), cases=4, scores=12, undefined=5)
    assert summary.mean == 0.5
    assert summary.as_json()["per_seed"] == [0.25, None, 0.75]
    assert summary.as_json()["undefined"] == 5


def test_a_score_that_no_seed_has_is_undefined():
    summary = Summary(("m0",), (NAN,), cases=1, scores=1, undefined=1)
    assert summary.as_json()["mean"] is None


def test_each_file_is_read_once(write_metrics):
    path = write_metrics("run", THREE_CASES)
    assert list(read_runs([path, path], CLASSES, "test")) == [path]


def test_runs_over_other_cases_are_refused(write_metrics):
    first = write_metrics("first", THREE_CASES)
    second = write_metrics("second", {key: THREE_CASES[key] for key in list(THREE_CASES)[:4]})
    with pytest.raises(ArcoError, match=r"second/metrics.csv does not score the same cases as"):
        read_runs([first, second], CLASSES, "test")


def test_runs_with_other_patients_behind_the_cases_are_refused(write_metrics):
    first = write_metrics("first", THREE_CASES)
    second = write_metrics("second", THREE_CASES, patients={"b": "pa"})
    with pytest.raises(ArcoError, match=r"second/metrics.csv does not score the same cases as"):
        read_runs([first, second], CLASSES, "test")


def test_the_order_of_rows_does_not_matter(write_metrics):
    straight = read_run(write_metrics("straight", THREE_CASES), CLASSES, "test")
    turned = dict(reversed(THREE_CASES.items()))
    again = read_run(write_metrics("turned", turned), CLASSES, "test")
    assert (straight.means, straight.undefined) == (again.means, again.undefined)


def test_a_case_called_na_is_a_case(write_metrics):
    scores = {("NA", "rv"): (0.5, 1.0), ("null", "rv"): (0.7, 1.0)}
    assert read_run(write_metrics("run", scores), ["rv"], "test").cases == ("NA", "null")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArcoError, match=r"absent.csv is missing; evaluate its cell first"):
        read_run(tmp_path / "absent.csv", CLASSES, "test")


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(ArcoError, match=f"cannot read {tmp_path}"):
        read_run(tmp_path, CLASSES, "test")


def test_a_file_cut_short_inside_a_case_is_refused(write_metrics):
    path = write_metrics("run", THREE_CASES)
    content = path.read_bytes()
    ends_of_cases = [content.index(b"b,pb,rv"), content.index(b"c,pc,rv"), len(content)]
    for kept in range(0, len(content), 7):
        if any(end - 1 <= kept <= end for end in ends_of_cases):
            continue  # a shorter, valid file: told apart by its cases
        path.write_bytes(content[:kept])
        with pytest.raises(ArcoError, match=r"run/metrics.csv is no valid metrics file"):
            read_run(path, CLASSES, "test")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("0.7", "1.7", "above 1"),
        ("0.7", "inf", "negative or infinite"),
        ("0.7", "-0.1", "negative or infinite"),
        ("0.7", "much", "much"),
        ("0.7", "", "no valid"),
        ("b,pb,rv", "b,pb,myo", "unknown class 'myo'"),
        ("b,pb,rv", "a,pa,rv", "case a stands in it twice"),
        ("b,pb,rv", "z,pz,rv", "lacks a class"),
        ("b,pb,rv", "b,pz,rv", "case b is of two patients"),
        ("dice", "dise", "dice"),
        (",test", ",val", "part is 'val' where 'test' is wanted"),
    ],
)
def test_invalid_content_is_refused_with_its_reason(write_metrics, old, new, complaint):
    path = write_metrics("run", THREE_CASES)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ArcoError, match=complaint) as caught:
        read_run(path, CLASSES, "test")
    assert str(path) in str(caught.value)
    assert "evaluate its cell again" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"\xff\xfe\x00\x81" * 9)
    with pytest.raises(ArcoError, match="no valid metrics file"):
        read_run(path, CLASSES, "test")


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 4), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_scores_agree_with_pandas(tmp_path_factory, cases, classes, share_undefined, seed):
    random = np.random.default_rng(seed)
    names = [f"class{index}" for index in range(classes)]
    index = pd.MultiIndex.from_product([[f"c{i}" for i in range(cases)], names])
    columns = ["dice", "jaccard", *(f"{d}_{u}" for u in ("voxel", "mm") for d in ("asd", "assd"))]
    frame = pd.DataFrame(random.random((len(index), 6)), index, columns)
    frame = frame.mask(random.random(frame.shape) < share_undefined)
    frame["hd95_voxel"] = frame["hd95_mm"] = 1.0
    table = frame.rename_axis(["case", "class"]).reset_index()
    path = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    table.assign(patient="p", part="val").to_csv(path, index=False, na_rep="nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = read_run(path, names, "val")
    expected = frame.groupby(level=1).mean()
    for score in columns:
        for name in names:
            assert run.means[name, score] == pytest.approx(expected[score][name], nan_ok=True)
        average = expected[score].mean(skipna=False)
        assert run.means["average", score] == pytest.approx(average, nan_ok=True)
        assert run.undefined["average", score] == int(frame[score].isna().sum())
