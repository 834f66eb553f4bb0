from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from arco import cli, files
from arco.errors import ArcoError
from arco.schema.reports import Comparison
from arco.tables.comparison import build_comparison

ROWS = [
    {"recipe": "better", "label": "Better"},
    {"recipe": "lower", "label": "Lower_bound"},
    {"recipe": "same", "label": "Same"},
]
GAINS = {"better": {"a": 0.2, "b": 0.1}, "lower": {}, "same": {"a": 0.1, "b": -0.1}}
SEEDS = [3, 5]


def small_comparison(**changes):
    settings = {
        "title": "Small",
        "caption": "What it shows.",
        "datasets": ["heart"],
        "labels": ["1%", "5%"],
        "against": "lower",
        "rows": ROWS,
    }
    return settings | changes


@pytest.fixture
def make_report(write_metrics):
    """Settings of a comparison of three rows; `scores` changes those of (recipe, seed)."""

    def make(scores=None, part="test", patients=None, **changes):
        entry = Comparison.model_validate(small_comparison(part=part, **changes))
        datasets = {
            name: {"title": name.title(), "source": "raw", "classes": ["lv"]}
            for name in entry.datasets
        }
        cells = []
        for row, compared in enumerate(entry.rows):
            for dataset in entry.datasets:
                of_dataset = (
                    entry.labels if isinstance(entry.labels, list) else entry.labels[dataset]
                )
                for labels in of_dataset:
                    for seed in SEEDS:
                        gain = GAINS[compared.recipe]
                        values = {
                            (case, "lv"): (0.5 + gain.get(case, 0) + 0.01 * (seed - 4), 2.0)
                            for case in "ab"
                        }
                        values = (scores or {}).get((compared.recipe, seed), values)
                        name = f"{compared.recipe}-{dataset}-{labels}-{seed}"
                        path = write_metrics(name, values, part, patients)
                        cells.append(
                            {
                                "row": row, "dataset": dataset, "labels": labels, "seed": seed,
                                "metrics": str(path),
                            }
                        )  # fmt: skip
        return {
            "scale": "demo",
            "protocol": "default",
            "datasets": datasets,
            "seeds": SEEDS,
            "comparison": entry.model_dump(),
            "bootstrap": {"resamples": 1000, "level": 0.95, "seed": 0},
            "cells": cells,
        }

    return make


def build(report, tmp_path):
    paths = build_comparison(report, tmp_path / "tables" / "small.csv", {"commit": "abc"})
    return {path.suffix[1:]: path.read_text(encoding="utf-8") for path in paths}


def csv_rows(texts):
    return list(csv.DictReader(texts["csv"].splitlines()))


def markdown_rows(texts):
    rows = [line for line in texts["md"].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_a_comparison_is_written_in_four_formats(make_report, tmp_path):
    assert list(build(make_report(), tmp_path)) == ["csv", "md", "tex", "json"]
    assert len(list((tmp_path / "tables").iterdir())) == 4


def test_the_reference_stands_first_under_each_labels_entry(make_report, tmp_path):
    rows = csv_rows(build(make_report(), tmp_path))
    assert [(row["labels"], row["recipe"]) for row in rows] == [
        (labels, recipe) for labels in ("1%", "5%") for recipe in ("lower", "better", "same")
    ]


def test_the_csv_holds_every_number_in_the_unit_it_names(make_report, tmp_path):
    reference, better, same, *_ = csv_rows(build(make_report(), tmp_path))
    assert (better["unit"], better["part"], better["against"]) == ("fraction", "test", "lower")
    assert float(better["mean"]) == pytest.approx(0.65)
    assert float(better["std"]) == pytest.approx(0.02 / 2**0.5)
    assert (better["seeds"], better["cases"], better["patients"]) == ("2", "2", "2")
    assert float(better["difference"]) == pytest.approx(0.15)
    assert [float(better[end]) for end in ("low", "high")] == pytest.approx([0.1, 0.2])
    assert float(better["difference_std"]) == pytest.approx(0.0)
    assert (better["excludes_zero"], same["excludes_zero"]) == ("True", "False")
    assert reference["difference"] == reference["low"] == reference["excludes_zero"] == ""


def test_markdown_marks_the_intervals_that_exclude_zero(make_report, tmp_path):
    header, _, *rows = markdown_rows(build(make_report(), tmp_path))
    assert header == [
        "Labels", "Method", "DSC[%] ↑", "Difference [95 % interval]", "its SD over seeds", "Seeds",
    ]  # fmt: skip
    assert rows[:4] == [
        ["1% Labeled", r"Lower\_bound", "50.0±1.4", "reference", "", "2"],
        ["", "Better", "65.0±1.4", "**+15.0 [+10.0, +20.0]**", "0.0", "2"],
        ["", "Same", "50.0±1.4", "0.0 [−10.0, +10.0]", "0.0", "2"],
        ["5% Labeled", r"Lower\_bound", "50.0±1.4", "reference", "", "2"],
    ]


def test_latex_has_the_same_numbers_and_a_rule_between_groups(make_report, tmp_path):
    text = build(make_report(), tmp_path)["tex"]
    assert r" & Better & 65.0$\pm$1.4 & \textbf{+15.0 [+10.0, +20.0]} & 0.0 & 2 \\" in text
    assert r" & Same & 50.0$\pm$1.4 & 0.0 [$-$10.0, +10.0] & 0.0 & 2 \\" in text
    assert text.count(r"\midrule") == 2
    columns = len(re.search(r"\\begin\{tabular\}\{([lc]+)\}", text)[1])
    for row in re.findall(r"^.*\\\\$", text, re.MULTILINE):
        assert row.count(" & ") + 1 == columns


def test_the_heading_says_who_was_tested_at_which_scale_with_which_seeds(make_report, tmp_path):
    patients = {"a": "one", "b": "one"}
    text = build(make_report(part="val", patients=patients), tmp_path)["md"]
    assert "Validation part: 2 cases of 1 patients. Data: Heart. Scale: demo" in text
    assert "Protocol: default. Seeds: 3, 5." in text


def test_the_notes_say_what_the_interval_is_over_and_where_it_is_too_narrow(make_report, tmp_path):
    text = build(make_report(), tmp_path)["md"]
    assert "minus that of Lower\\_bound on the same case with the same seed" in text
    assert "with the trained networks held fixed: 1,000 resamples of the patients" in text
    assert "From fewer than 10 patients (Heart: 2) intervals are too narrow." in text


def test_a_shuffled_file_gives_the_same_comparison(make_report, tmp_path):
    report = make_report()
    before = build(report, tmp_path)
    path = Path(report["cells"][0]["metrics"])
    header, first, second = files.read_text(path).splitlines()
    files.write_text(path, "\n".join([header, second, first, ""]))
    assert build(report, tmp_path) == before


@pytest.mark.parametrize("other", [{("a", "lv"): (0.5, 1.0)}, {("c", "lv"): (0.5, 1.0)}])
def test_rows_over_other_cases_are_refused(make_report, tmp_path, other):
    report = make_report({("better", 5): other})
    with pytest.raises(ArcoError, match="does not score the same cases as"):
        build(report, tmp_path)
    assert not (tmp_path / "tables").exists()


def test_scores_of_another_part_are_refused(make_report, tmp_path):
    report = make_report()
    report["comparison"]["part"] = "val"
    with pytest.raises(ArcoError, match="its part is 'test' where 'val' is wanted"):
        build(report, tmp_path)


def test_undefined_scores_are_counted_in_a_footnote(make_report, tmp_path):
    missed = {("a", "lv"): (float("nan"), 1.0), ("b", "lv"): (0.6, 1.0)}
    texts = build(make_report({("better", 5): missed}, labels=["1%"]), tmp_path)
    assert markdown_rows(texts)[3][2].endswith("<sup>a</sup>")
    assert (
        "<sup>a</sup> 1 of 4 scores undefined (empty prediction or truth); 1 of 4 pairs undefined "
        "and left out of the difference." in texts["md"]
    )
    assert r"\textsuperscript{a} 1 of 4 scores undefined" in texts["tex"]
    row = csv_rows(texts)[1]
    assert (row["undefined"], row["undefined_pairs"], row["pairs"]) == ("1", "1", "4")


def test_a_difference_that_no_pair_has_is_a_dash(make_report, tmp_path):
    nothing = {(case, "lv"): (float("nan"), 1.0) for case in "ab"}
    scores = {("better", seed): nothing for seed in SEEDS}
    texts = build(make_report(scores, labels=["1%"]), tmp_path)
    assert markdown_rows(texts)[3][2:4] == ["–<sup>a</sup>", "– [–, –]"]
    assert csv_rows(texts)[1]["difference"] == "nan"
    assert json.loads(texts["json"])["cells"][1]["difference"] is None


def test_each_dataset_has_labels_entries_of_its_own(make_report, tmp_path):
    labels = {"heart": ["1%"], "liver": ["5%", "10%"]}
    texts = build(make_report(datasets=["heart", "liver"], labels=labels), tmp_path)
    groups = [row[0] for row in markdown_rows(texts)[2:] if row[0]]
    assert groups == ["Heart, 1% Labeled", "Liver, 5% Labeled", "Liver, 10% Labeled"]
    assert "Test part: Heart 2 cases of 2 patients, Liver 2 cases of 2 patients." in texts["md"]


def test_the_json_tells_where_each_number_is_from(make_report, tmp_path):
    report = make_report()
    content = json.loads(build(report, tmp_path)["json"])
    assert (content["settings"], content["provenance"]) == (report, {"commit": "abc"})
    better = content["cells"][1]
    assert better["metrics"] == [cell["metrics"] for cell in report["cells"][:2]]
    assert better["difference_per_seed"] == pytest.approx([0.15, 0.15])
    assert better["printed"] == {"score": "65.0±1.4", "difference": "+15.0 [+10.0, +20.0]"}


def test_a_distance_is_compared_in_its_own_unit(make_report, tmp_path):
    score = {"score": "assd_mm", "label": "ASD[mm]", "best": "low"}
    texts = build(make_report(score=score), tmp_path)
    assert markdown_rows(texts)[0][2] == "ASD[mm] ↓"
    assert markdown_rows(texts)[3][2:4] == ["4.00±0.00", "0.00 [0.00, 0.00]"]
    assert csv_rows(texts)[1]["unit"] == "mm"


def test_the_table_command_makes_a_comparison(make_report, tmp_path):
    job = {"settings": make_report(), "out": str(tmp_path / "tables" / "small.csv")}
    assert cli.main(["table", "--job", json.dumps(job)]) == 0
    assert "Difference [95 % interval]" in files.read_text(tmp_path / "tables" / "small.md")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"against": "upper"}, "against is upper, which no row shows"),
        ({"rows": [*ROWS, ROWS[0]]}, "rows holds the recipe better twice"),
        ({"labels": {"liver": ["1%"]}}, "entry for each of datasets"),
    ],
)
def test_a_comparison_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Comparison.model_validate(small_comparison(**changes))
